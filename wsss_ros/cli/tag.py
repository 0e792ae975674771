"""`wsss tag`: the page to tag with, for nodes that already run."""

from typing import Annotated

import typer

from wsss_ros.cli.options import Labels
from wsss_ros.node_processes import run
from wsss_ros.node_set import Process


def tag(
    host: Annotated[str, typer.Option(help="Address served on; 0.0.0.0 lets other machines tag.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8080,
    labels: Labels = "",
    namespace: Annotated[str, typer.Option(help="Namespace of the nodes that segment and learn.")] = "",
    color_topic: Annotated[str, typer.Option(help="Colour images, shown without an overlay.")] = "color/image_raw",
) -> None:
    """Serve a web page that shows the live image, sends class tags, and controls the learner.

    Examples: wsss tag · wsss tag --host 0.0.0.0 · wsss tag --namespace robot

    The nodes themselves: wsss up online:=true (together with the page: wsss up online:=true tag:=true).
    """
    parameters: dict[str, bool | float | str] = {"host": host, "port": port, "label_space": labels or "scannet20"}
    remaps = {} if color_topic == "color/image_raw" else {"color/image_raw": color_topic}
    page = Process(
        "tag_page", module="wsss_ros.nodes.tag_page", parameters=parameters, remaps=remaps, namespace=namespace
    )
    raise typer.Exit(run([page]))
