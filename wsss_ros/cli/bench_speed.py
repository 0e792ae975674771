"""`wsss bench speed`: how fast the parts are on this machine, medians, each beside a baseline of the same run."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


def bench_speed(
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each fast part; the median counts.")] = 7,
    baseline_runs: Annotated[int, typer.Option(min=0, help="Runs of the slow baselines; 0 leaves them out.")] = 1,
) -> None:
    """Print speeds beside their baselines. Close other programs first: all share the processor."""
    bench_pointnet2(runs, baseline_runs)
    bench_ros()


def bench_ros() -> None:
    """Conversions, what a node adds to its network, and what is lost between two processes (best effort)."""
    console = Console(stderr=True)
    with console.status("messages and nodes: about two minutes"):
        command = [sys.executable, "-m", "wsss_ros.nodes.bench"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise OSError(f"'{' '.join(command)}' ended with status {done.returncode}: {done.stderr.strip()[-800:]}")
    report = json.loads(done.stdout)
    Console().print(_conversions(report["conversions_ms"]), _overheads(report), _transports(report["transport"]))


def _conversions(figures: dict[str, float]) -> Table:
    table = _table("300,000 points, message to numpy and back (together at most 5 ms)", "what", "median ms")
    for what, milliseconds in figures.items():
        table.add_row(what.replace("_", " "), f"{milliseconds:.2f}")
    both = figures["message_to_numpy"] + figures["numpy_to_message"]
    table.add_row("read and write together", f"{both:.2f}", style="bold")
    return table


def _overheads(report: dict) -> Table:
    heading = "message in to message out (a node may add 10 % or 15 ms, whichever is more)"
    table = _table(heading, "node", "all, median ms", "network alone", "added", "allowed")
    for node, what in (("image_segmenter", "640x480"), ("cloud_segmenter", "300,000 points")):
        figures = report[f"{node}_ms"]
        allowed = max(15.0, 0.1 * figures["network"])
        row = (figures["message_to_message"], figures["network"], figures["added"], allowed)
        table.add_row(f"{node}, {what}", *(f"{value:.1f}" for value in row))
    return table


def _transports(figures: dict) -> Table:
    table = _table("best effort between two processes", "what", "profile", "sent", "lost")
    whats = {"cloud": "300,000-point clouds, 10 Hz", "image": "640x480 images, 30 Hz"}
    for load, profiles in figures.items():
        for profile, counts in profiles.items():
            name = "config/fastdds.xml" if profile == "with_profile" else "Fast DDS default"
            table.add_row(whats[load], name, str(counts["sent"]), str(counts["lost"]))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def bench_pointnet2(runs: int = 7, baseline_runs: int = 1) -> None:
    """PointNet++ with the paper's configuration, fp32 on the CPU, against the plain PyTorch twin at equal output."""
    import torch

    from wsss_ros.networks.pointnet2 import PointNet2
    from wsss_ros.networks.pointnet2_plain import plain_forward

    torch.manual_seed(0)
    net = PointNet2(3).eval()
    small, large = _room(40_000), _room(200_000)
    title = f"PointNet++, paper's configuration, fp32, CPU, {torch.get_num_threads()} threads"
    table = _table(title, "what", "median ms", "compared")
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with torch.inference_mode(), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("PointNet++: neighbourhoods of 40,000 points", total=None)
        net(*small)  # compiles or loads the kernels
        structure_ms, structure = _median_ms(lambda: net.structure(small[0]), runs)
        progress.update(task, description="PointNet++: 40,000 points")
        layers_ms, _ = _median_ms(lambda: net(*small, structure), runs)
        small_ms, out = _median_ms(lambda: net(*small), runs)
        table.add_row("40,000 points: neighbourhoods", f"{structure_ms:,.1f}", "")
        table.add_row("40,000 points: layers", f"{layers_ms:,.1f}", "")
        table.add_row("40,000 points: all", f"{small_ms:,.1f}", "")
        progress.update(task, description="PointNet++: 200,000 points")
        large_ms, _ = _median_ms(lambda: net(*large), runs)
        table.add_row("200,000 points: all", f"{large_ms:,.1f}", f"{large_ms / small_ms:.2f} times 40,000 (at most 4)")
        if baseline_runs:
            progress.update(task, description="PointNet++: the plain twin at 40,000 points")
            plain_ms, expected = _median_ms(lambda: plain_forward(net, *small, torch.float32), baseline_runs)
            difference = float((out - expected).abs().max())
            ratio = f"{plain_ms / small_ms:.1f} times ours (at least 10); outputs differ by at most {difference:.1e}"
            table.add_row("40,000 points: plain PyTorch twin", f"{plain_ms:,.1f}", ratio)
    Console().print(table)


def _room(points: int):
    """A cloud [1 N 3] on the faces of a room of 6 x 5 x 2.6 m and the tables in it, with colours [1 N 3]."""
    import torch

    xyz = torch.rand(1, points, 3)
    xyz = xyz.scatter(2, torch.randint(0, 3, (1, points, 1)), torch.randint(0, 4, (1, points, 1)) / 3.0)
    return xyz * torch.tensor([6.0, 5.0, 2.6]), torch.rand(1, points, 3)


def _median_ms(call: Callable[[], object], runs: int) -> tuple[float, object]:
    times, result = [], None
    for _ in range(runs):
        start = time.perf_counter()
        result = call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times), result
