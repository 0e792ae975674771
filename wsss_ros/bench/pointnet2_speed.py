"""PointNet++ with the paper's configuration, fp32 on the CPU, next to the plain PyTorch twin."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from wsss_ros.bench.clock import median_ms
from wsss_ros.networks.pointnet2 import PointNet2
from wsss_ros.networks.pointnet2_plain import plain_forward


@dataclass(frozen=True)
class PointNet2Speed:
    """Median milliseconds for 40,000 points (in parts) and 200,000; the twin's, and how far its output is off."""

    threads: int
    neighbourhoods_ms: float
    layers_ms: float
    small_ms: float
    large_ms: float
    plain_ms: float | None = None
    difference: float | None = None


@torch.inference_mode()
def measure(runs: int, baseline_runs: int, progress: Callable[[str], None] = lambda what: None) -> PointNet2Speed:
    """Measure ``runs`` times, and the slow twin ``baseline_runs`` times (0: not at all)."""
    torch.manual_seed(0)
    network = PointNet2(3).eval()
    small, large = room_cloud(40_000), room_cloud(200_000)
    progress("neighbourhoods of 40,000 points")
    network(*small)  # compiles or loads the kernels
    structure_ms, structure = median_ms(lambda: network.structure(small[0]), runs)
    progress("40,000 points")
    layers_ms, _ = median_ms(lambda: network(*small, structure), runs)
    small_ms, output = median_ms(lambda: network(*small), runs)
    progress("200,000 points")
    large_ms, _ = median_ms(lambda: network(*large), runs)
    ours = (torch.get_num_threads(), structure_ms, layers_ms, small_ms, large_ms)
    if not baseline_runs:
        return PointNet2Speed(*ours)
    progress("the plain twin at 40,000 points")
    plain_ms, expected = median_ms(lambda: plain_forward(network, *small, torch.float32), baseline_runs)
    return PointNet2Speed(*ours, plain_ms, float((output - expected).abs().max()))


def room_cloud(points: int) -> tuple[Float[Tensor, "1 N 3"], Float[Tensor, "1 N 3"]]:
    """Positions on the faces of a room of 6 x 5 x 2.6 m and of the tables in it, and colours."""
    xyz = torch.rand(1, points, 3)
    xyz = xyz.scatter(2, torch.randint(0, 3, (1, points, 1)), torch.randint(0, 4, (1, points, 1)) / 3.0)
    return xyz * torch.tensor([6.0, 5.0, 2.6]), torch.rand(1, points, 3)
