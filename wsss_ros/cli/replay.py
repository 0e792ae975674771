"""`wsss replay`: the replay node alone, without ROS's command-line tools."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import DepthScale, Intrinsics, Labels, Layout
from wsss_ros.node_processes import run
from wsss_ros.node_set import Process
from wsss_ros.types import BadInput


def replay(
    source: Annotated[Path, typer.Argument(help="A bag (.mcap, .db3, its folder, or a .bag of ROS 1) or a scene.")],
    rate: Annotated[float, typer.Option(min=0.01, max=100, help="Speed against the recording.")] = 1.0,
    loop: Annotated[bool, typer.Option(help="Start over at the end.")] = False,
    paused: Annotated[bool, typer.Option(help="Wait for the service ~/resume.")] = False,
    wait: Annotated[float, typer.Option(min=0, max=300, help="Wait at most this many seconds for subscribers.")] = 0.0,
    labels: Labels = "",
    layout: Layout = "",
    depth_scale: DepthScale = 0.0,
    intrinsics: Intrinsics = "",
    namespace: Annotated[str, typer.Option(help="Namespace of its topics.")] = "",
) -> None:
    """Play a bag or a scene folder on the topics it names, with /clock."""
    if not source.exists():
        raise BadInput(f"{source}: no such file or folder; expected a bag or a scene folder")
    parameters: dict[str, bool | float | str] = {
        "source": str(source.absolute()),
        "rate": rate,
        "loop": loop,
        "start_paused": paused,
        "wait_for_subscribers_s": wait,
        "label_space": labels or "scannet20",
        "layout": layout,
        "depth_scale": depth_scale,
        "intrinsics": intrinsics,
    }
    node = Process("replay", module="wsss_ros.nodes.replay", parameters=parameters, namespace=namespace)
    raise typer.Exit(run([node]))
