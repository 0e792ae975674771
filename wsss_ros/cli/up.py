"""`wsss up`: the nodes of segment.launch.py as child processes, for machines without ROS's launch."""

from typing import Annotated

import typer

from wsss_ros import node_processes, node_set


def up(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME:=VALUE]...", help="As for the launch file; 'wsss up --args' lists them."),
    ] = None,
    args: Annotated[bool, typer.Option("--args", help="List the arguments with their defaults, and end.")] = False,
) -> None:
    """Start the nodes, with the same parameters and arguments as `ros2 launch wsss_ros segment.launch.py`.

    Examples: wsss up · wsss up bag:=scene.mcap rate:=0.5 · wsss up namespace:=robot accumulate:=false

    Ends with Ctrl-C or with the replay, both with status 0, and as soon as a node fails, with status 1 and its reason
    as the last line. After SIGTERM the status is 143.
    """
    if args:
        print(_listing())
        return
    raise typer.Exit(node_processes.run(node_set.processes(node_set.arguments(arguments or []))))


def _listing() -> str:
    fields = node_set.Arguments.model_fields.items()
    shown = [(f"{name}:={node_set.as_text(field.default)}", field.description) for name, field in fields]
    width = max(len(left) for left, _ in shown)
    return "\n".join(f"{left:{width}}  {description}" for left, description in shown)
