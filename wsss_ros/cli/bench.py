"""`wsss bench`: how fast the parts are on this machine, medians, each beside a baseline of the same run."""

import statistics
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


def bench(
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each fast part; the median counts.")] = 7,
    baseline_runs: Annotated[int, typer.Option(min=0, help="Runs of the slow baselines; 0 leaves them out.")] = 1,
) -> None:
    """Print speeds beside their baselines. Close other programs first: all share the processor."""
    bench_pointnet2(runs, baseline_runs)


def bench_pointnet2(runs: int = 7, baseline_runs: int = 1) -> None:
    """PointNet++ with the paper's configuration, fp32 on the CPU, against the plain PyTorch twin at equal output."""
    import torch

    from wsss_ros.networks.pointnet2 import PointNet2
    from wsss_ros.networks.pointnet2_plain import plain_forward

    torch.manual_seed(0)
    net = PointNet2(3).eval()
    small, large = _room(40_000), _room(200_000)
    table = Table(title=f"PointNet++, paper's configuration, fp32, CPU, {torch.get_num_threads()} threads")
    for heading, justify in (("what", "left"), ("median ms", "right"), ("compared", "left")):
        table.add_column(heading, justify=justify)
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
