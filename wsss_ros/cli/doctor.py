"""``wsss doctor``: checks this machine and what a robot publishes."""

from typing import Annotated

import typer


def doctor(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME:=VALUE]...", help="Those that the set will be started with; see 'wsss up --args'."
        ),
    ] = None,
    topics: Annotated[bool, typer.Option("--topics", help="Listen to the inputs, too.")] = False,
    seconds: Annotated[float, typer.Option(min=0.5, max=120, help="How long to listen.")] = 5.0,
) -> None:
    """Check the machine and, with --topics, every input: found, rate, encoding, frame, stamps, TF, QoS.

    Examples: wsss doctor · wsss doctor --topics · wsss doctor --topics color_topic:=/camera/camera/color/image_raw

    One line for each check. The status is 1 where one of them is a fault.
    """
    from wsss_ros import node_set
    from wsss_ros.doctor import findings, machine

    given = node_set.arguments(arguments or [])
    found = machine.findings(given)
    for finding in found:
        print(finding.line(), flush=True)
    print(findings.count(found), flush=True)
    graph = _listen(given, seconds) if topics else 0
    raise typer.Exit(max(findings.status(found), graph))


def _listen(given, seconds: float) -> int:
    import os
    import signal
    import sys

    from wsss_ros import node_set
    from wsss_ros.processes import children

    process = node_set.doctor(given, seconds)
    command = [sys.executable, "-m", process.module, *process.ros_arguments()]
    child = children.start(command, env={**os.environ, **node_set.environment(os.environ, process.profile)})
    try:
        return int(child.wait() != 0)
    finally:
        children.end([child], [(signal.SIGINT, 5.0)])
