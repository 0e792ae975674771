"""`wsss bench speed`: how fast the parts are on this machine, medians, each next to a baseline of the same run."""

from typing import Annotated

import typer


def bench_speed(
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each fast part; the median counts.")] = 7,
    baseline_runs: Annotated[int, typer.Option(min=0, help="Runs of the slow baselines; 0 leaves them out.")] = 1,
) -> None:
    """Print speeds next to their baselines. Close other programs first: all share the processor."""
    from rich.console import Console

    from wsss_ros.bench import pointnet2_speed, ros_speed

    console, waiting = Console(), Console(stderr=True)
    with waiting.status("PointNet++") as status:
        speed = pointnet2_speed.measure(runs, baseline_runs, lambda what: status.update(f"PointNet++: {what}"))
    console.print(_pointnet2(speed))
    with waiting.status("messages and nodes: about two minutes"):
        report = ros_speed.measure()
    console.print(_conversions(report["conversions_ms"]), _overheads(report), _transports(report["transport"]))


def _pointnet2(speed):
    from wsss_ros.cli.tables import table

    ratio = f"{speed.large_ms / speed.small_ms:.2f} times 40,000 (at most 4)"
    title = f"PointNet++, paper's configuration, fp32, CPU, {speed.threads} threads"
    shown = table(title, "what", "median ms", "compared")
    shown.add_row("40,000 points: neighbourhoods", f"{speed.neighbourhoods_ms:,.1f}", "")
    shown.add_row("40,000 points: layers", f"{speed.layers_ms:,.1f}", "")
    shown.add_row("40,000 points: all", f"{speed.small_ms:,.1f}", "")
    shown.add_row("200,000 points: all", f"{speed.large_ms:,.1f}", ratio)
    if speed.plain_ms is not None:
        times = f"{speed.plain_ms / speed.small_ms:.1f} times ours (at least 10)"
        compared = f"{times}; outputs differ by at most {speed.difference:.1e}"
        shown.add_row("40,000 points: plain PyTorch twin", f"{speed.plain_ms:,.1f}", compared)
    return shown


def _conversions(milliseconds: dict[str, float]):
    from wsss_ros.cli.tables import table

    shown = table("300,000 points, message to numpy and back (together at most 5 ms)", "what", "median ms")
    for what, value in milliseconds.items():
        shown.add_row(what.replace("_", " "), f"{value:.2f}")
    both = milliseconds["message_to_numpy"] + milliseconds["numpy_to_message"]
    shown.add_row("read and write together", f"{both:.2f}", style="bold")
    return shown


def _overheads(report: dict):
    from wsss_ros.cli.tables import table

    heading = "message in to message out (a node may add 10 % or 15 ms, whichever is more)"
    shown = table(heading, "node", "all, median ms", "network alone", "added", "allowed")
    for node, what in (("image_segmenter", "640x480"), ("cloud_segmenter", "300,000 points")):
        figures = report[f"{node}_ms"]
        allowed = max(15.0, 0.1 * figures["network"])
        row = (figures["message_to_message"], figures["network"], figures["added"], allowed)
        shown.add_row(f"{node}, {what}", *(f"{value:.1f}" for value in row))
    return shown


def _transports(loads: dict):
    from wsss_ros.cli.tables import table

    shown = table("best effort between two processes", "what", "profile", "sent", "lost")
    names = {"cloud": "300,000-point clouds, 10 Hz", "image": "640x480 images, 30 Hz"}
    for load, profiles in loads.items():
        for profile, counts in profiles.items():
            name = "config/fastdds.xml" if profile == "with_profile" else "Fast DDS default"
            shown.add_row(names[load], name, str(counts["sent"]), str(counts["lost"]))
    return shown
