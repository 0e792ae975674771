"""``wsss bench train``: what a joint training step costs, part by part, and what the correlation loss saves."""

import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

_DEFAULT = Path("config/joint_rooms.yaml")
_WARM_UP = 2  # steps that compile kernels and fill caches
_PARTS = ("data", "image network", "cloud network", "losses", "backward and optimisers")

_ADAM = {"name": "adam", "lr": 0.001}
# Pairs to measure without a configuration, at the sizes they are trained at.
PAIRS = {
    "light": {
        "image": {
            "options": {"depth": 18, "width": 0.5, "stride": 16},
            "augment": {"long_side": [144, 256], "crop": 128},
        },
        "cloud": {
            "options": {"width": 0.5, "centres": [1024, 512, 256, 128], "neighbours": [32, 16, 16, 16]},
            "inputs": ["color", "height"],
            "augment": {"points": 8000},
        },
        "phases": [{"method": "joint", "epochs": 1, "batch": 8, "image": _ADAM, "cloud": _ADAM}],
    },
    "paper": {
        "image": {"network": "resnet38", "options": {}},
        "cloud": {"options": {}},
        "phases": [{"method": "joint", "epochs": 1, "batch": 16, "image": _ADAM, "cloud": _ADAM}],
    },
}


def bench_train(
    config: Annotated[
        Path, typer.Argument(help="A configuration with a joint phase; its scenes, where they are there.")
    ] = _DEFAULT,
    network: Annotated[str, typer.Option(help="light or paper: this pair on made-up scenes instead of CONFIG.")] = "",
    image_size: Annotated[int, typer.Option(help="Edge of the crops, pixels; 0 leaves it.")] = 0,
    points: Annotated[int, typer.Option(help="Points of a cloud; 0 leaves them.")] = 0,
    batch: Annotated[int, typer.Option(help="Samples of a step; 0 leaves them.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Steps to measure, after two to warm up.")] = 10,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; empty leaves it.")] = "",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16; empty leaves it.")] = "",
    checkpointing: Annotated[bool, typer.Option(help="Activation checkpointing in the image network.")] = False,
    correlation: Annotated[bool, typer.Option(help="Measure the correlation loss against its dense form, too.")] = True,
) -> None:
    """Print samples a second, peak memory and the share of each part of a joint step. Close other programs first."""
    from rich.console import Console

    console = Console()
    told = dict(image_size=image_size, points=points, batch=batch, device=device, precision=precision)
    settings = _settings(config, network, checkpointing, **told)
    with Console(stderr=True).status("steps of the joint phase"):
        lines = measure_steps(settings, steps, made_up=bool(network))
    console.print(*lines, sep="\n", highlight=False)
    if correlation:
        with Console(stderr=True).status("correlation loss"):
            table = measure_correlation()
        console.print(table)


def _settings(config: Path, network: str, checkpointing: bool, **told):
    from wsss_ros import config as configuration
    from wsss_ros.config import JointPhase, TrainConfig
    from wsss_ros.types import BadInput

    if network and network not in PAIRS:
        raise BadInput(f"--network {network}: there are {', '.join(PAIRS)}")
    if network:
        source, values = f"--network {network}", {"output": "", "data": {"train": {"folder": ""}}, **PAIRS[network]}
    else:
        path = configuration.share(str(config)) if config == _DEFAULT and not config.exists() else config
        source, values = str(path), configuration.load(TrainConfig, path).model_dump()
    values["phases"] = [phase for phase in values["phases"] if phase["method"] == "joint"][-1:]
    if not values["phases"] or not values.get("image") or not values.get("cloud"):
        raise BadInput(f"{source}: has no joint phase with both networks; give one that has, or --network light")
    _change(values, checkpointing, **told)
    settings = configuration.build(TrainConfig, values, source)
    assert isinstance(settings.phases[0], JointPhase)
    return settings


def _change(values: dict, checkpointing: bool, image_size: int, points: int, batch: int, device: str, precision: str):
    """Write what was said on the command line over a configuration's values."""
    values["image"] = {**values["image"], "augment": dict(values["image"].get("augment", {}))}
    values["cloud"] = {**values["cloud"], "augment": dict(values["cloud"].get("augment", {}))}
    values["phases"] = [dict(values["phases"][0])]
    if image_size:
        values["image"]["augment"] |= {"crop": image_size, "long_side": (image_size, 2 * image_size)}
    if points:
        values["cloud"]["augment"]["points"] = points
    if batch:
        values["phases"][0]["batch"] = batch
    if checkpointing:
        values["image"]["options"] = {**values["image"]["options"], "checkpointing": True}
    values |= {name: told for name, told in (("device", device), ("precision", precision)) if told}


# --- steps of the joint phase ---


def measure_steps(settings, steps: int, made_up: bool = False):
    """What ``steps`` steps of the joint phase take, to print: what was measured, a table of parts, samples a second.

    ``made_up`` scenes need no data set.
    """
    import torch

    from wsss_ros.labels import named
    from wsss_ros.samples.samples import PairSamples
    from wsss_ros.training import network_files, optimisers, processes
    from wsss_ros.training import run as training

    phase, labels = settings.phases[0], named(settings.labels)
    scenes, where = _scenes(settings, labels, made_up)
    samples = PairSamples(
        scenes,
        settings.image.augment,
        settings.cloud.augment,
        settings.data.visibility_m,
        phase.max_links,
        images=phase.images_per_cloud,
    )
    device_type = processes.device_named(settings.device).type
    scaler = torch.amp.GradScaler(device_type, enabled=settings.precision == "float16")
    fabric, clock = processes.start(settings, scaler), _Clock(device_type)
    nets, chosen = {}, []
    for kind in ("image", "cloud"):
        network = network_files.begin(settings, kind, labels)
        clock.watch(network, f"{kind} network")
        nets[kind] = processes.wrap(fabric, network, getattr(phase, kind))
        if getattr(phase, kind) is not None:
            chosen.append(optimisers.build(network, getattr(phase, kind)))
    method = training.METHODS["joint"](nets, settings.cloud.inputs, phase)
    method.prepare(scenes, phase.warmup_epochs)  # past the warm-up: all losses
    before = _resident_mb()
    links = []
    for step in range(_WARM_UP + steps):
        if step == _WARM_UP:
            clock.start()
        links.append(_step(step, method, chosen, samples, phase.batch, fabric, scaler, clock))
    seconds = clock.stop()
    memory = _peak_memory(device_type, before)
    return _step_lines(settings, where, clock.seconds, seconds, steps, statistics.fmean(links), memory)


def _step(step: int, method, optimisers, samples, batch_size: int, fabric, scaler, clock: "_Clock") -> float:
    """One step as training does it; the links of a sample."""
    import numpy as np

    from wsss_ros.samples.samples import collate

    with clock.of("data"):
        chosen = [(step * batch_size + k) % len(samples) for k in range(batch_size)]
        batch = collate([samples.sample(index, np.random.default_rng([step, index])) for index in chosen])
        batch = batch.to(fabric.device)
    with clock.of("losses"):
        total = sum(method.losses(batch).values())
    with clock.of("backward and optimisers"):
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        fabric.backward(total)
        for optimiser in optimisers:
            scaler.step(optimiser)
        scaler.update()
        method.after_step()
    return sum(batch.links_count) / batch_size


class _Clock:
    """Seconds by part. Networks run while the losses are computed; their time is theirs alone."""

    def __init__(self, device_type: str):
        self.device_type = device_type
        self.seconds: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._started = 0.0

    def now(self) -> float:
        if self.device_type == "cuda":
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()

    def start(self) -> None:
        self.seconds.clear()
        self._started = self.now()

    def stop(self) -> float:
        """Seconds since ``start``."""
        return self.now() - self._started

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        began = self.now()
        yield
        self.seconds[part] += self.now() - began

    def watch(self, network, part: str) -> None:
        """Take the forward pass of ``network`` out of the losses."""

        def began(*_) -> None:
            self._began[part] = self.now()

        def ended(*_) -> None:
            taken = self.now() - self._began[part]
            self.seconds[part] += taken
            self.seconds["losses"] -= taken

        network.register_forward_pre_hook(began)
        network.register_forward_hook(ended)


def _step_lines(settings, where: str, parts: Counter, seconds: float, steps: int, links: float, memory: str):
    import torch
    from rich.table import Table

    batch = settings.phases[0].batch
    title = (
        f"joint step: {settings.image.network} {settings.image.augment.crop} px, {settings.cloud.network} "
        f"{settings.cloud.augment.points:,} points, {links:,.0f} links, batch {batch}, {settings.precision}, {where}"
    )
    table = Table()
    for index, column in enumerate(("part", "ms a sample", "share")):
        table.add_column(column, justify="right" if index else "left")
    for part in _PARTS:
        table.add_row(part, f"{1e3 * parts[part] / (steps * batch):.1f}", f"{100 * parts[part] / seconds:.0f} %")
    table.add_row("all", f"{1e3 * seconds / (steps * batch):.1f}", "100 %", style="bold")
    rate = f"{steps * batch / seconds:.2f} samples a second"
    return title, table, f"{rate} on {_processor(settings, torch)} (at least 1 for the light pair)", memory


def _processor(settings, torch) -> str:
    from wsss_ros.training.processes import device_named

    device = device_named(settings.device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


def _scenes(settings, labels, made_up: bool) -> tuple[list, str]:
    """Prepared scenes of the configuration, where its folder is there, else made-up ones; and what they are called."""
    from wsss_ros.samples.prepared import prepare
    from wsss_ros.scenes import open_scenes

    data, long_side = settings.data, settings.image.augment.long_side[1]
    if not made_up and Path(data.train.folder).is_dir():
        scenes, where = open_scenes(data.train, labels)[0], data.train.folder
    else:
        scenes, where = [BoxScene(seed, long_side, settings.cloud.augment.points) for seed in range(4)], "made-up rooms"
    ready = prepare(scenes, labels, data.cache, data.frames_per_scene, long_side, data.visibility_m)
    return ready.scenes, where


class BoxScene:
    """A room of four walls, floor and ceiling around the camera: links as in a real room, and no data set."""

    SIZE_M = (6.0, 5.0, 2.6)
    tags = ("wall", "floor")
    world_up = (0.0, 0.0, 1.0)

    def __init__(self, seed: int, long_side: int, points: int, frames: int = 4):
        from wsss_ros.types import Camera

        self.name, self.seed, self.points, self.frames = f"box{seed}", seed, points, frames
        width, height = long_side, long_side * 3 // 4
        self.camera = Camera(0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2, width, height)

    def __len__(self) -> int:
        return self.frames

    def image_tags(self, index: int) -> tuple[str, ...]:
        return self.tags

    def frame(self, index: int):
        import numpy as np

        from wsss_ros.types import Frame

        rng = np.random.default_rng([self.seed, index])
        yaw = rng.uniform(0, 2 * np.pi)
        forward = np.array([np.cos(yaw), np.sin(yaw), 0])
        down = np.array([0.0, 0, -1])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([np.cross(down, forward), down, forward], axis=1)
        v, u = np.mgrid[: self.camera.height, : self.camera.width]
        across, down_by = (u - self.camera.cx) / self.camera.fx, (v - self.camera.cy) / self.camera.fy
        rays = np.stack([across, down_by, np.ones(u.shape)])
        directions = np.tensordot(pose[:3, :3], rays, 1)
        half = np.array(self.SIZE_M)[:, None, None] / 2
        depth = (half / np.maximum(np.abs(directions), 1e-9)).min(axis=0)  # every ray's z is 1
        rgb = rng.integers(0, 256, (*u.shape, 3), dtype=np.uint8)
        return Frame(rgb, self.camera, depth.astype(np.float32), pose)

    @property
    def cloud(self):
        import numpy as np

        from wsss_ros.types import Cloud

        rng = np.random.default_rng(self.seed)
        xyz = rng.uniform(-0.5, 0.5, (self.points, 3))
        axis = rng.integers(0, 3, self.points)
        xyz[np.arange(self.points), axis] = rng.choice([-0.5, 0.5], self.points)
        xyz = (xyz * self.SIZE_M).astype(np.float32)
        return Cloud(xyz, rng.integers(0, 256, xyz.shape, dtype=np.uint8))

    def frame_truth(self, index: int) -> None:
        return None

    def cloud_truth(self) -> None:
        return None


# --- memory ---


def _resident_mb() -> float:
    """Memory of this process now; its peak is counted from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def _peak_memory(device_type: str, before_mb: float) -> str:
    peak = _status_mb("VmHWM")
    told = f"peak memory of the process {peak:,.0f} MB, of which {peak - before_mb:,.0f} MB by the steps"
    if device_type == "cuda":
        import torch

        told += f"; of the GPU {torch.cuda.max_memory_allocated() / 2**20:,.0f} MB"
    return told


# --- the correlation loss ---


def measure_correlation(count: int = 10_000, channels: int = 128, threads: Sequence[int] = (1, 2), runs: int = 3):
    """A table of eq. 11, forward and backward, beside the plain formula; each in a process of its own."""
    from rich.table import Table

    table = Table(title=f"correlation loss (eqs. 8-11) on the CPU: {count:,} points, {channels} channels")
    for index, column in enumerate(("threads", "plain formula", "ours", "times as fast", "of its memory", "off by")):
        table.add_column(column, justify="right" if index else "left")
    for number in threads:
        plain_s, plain_mb, plain_value = _apart(correlation_cost, "plain", count, channels, number, runs)
        ours_s, ours_mb, ours_value = _apart(correlation_cost, "ours", count, channels, number, runs)
        table.add_row(
            str(number),
            f"{1e3 * plain_s:,.0f} ms, {plain_mb:,.0f} MB",
            f"{1e3 * ours_s:,.0f} ms, {ours_mb:,.0f} MB",
            f"{plain_s / ours_s:.1f} (at least 3)",
            f"1/{plain_mb / max(ours_mb, 0.1):.0f} (at most 1/20)",
            f"{abs(plain_value - ours_value) / plain_value:.0e}",
        )
    return table


def _apart(function: Callable, *arguments):
    """Call ``function`` in a fresh process, whose peak of memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def correlation_cost(form: str, count: int, channels: int, threads: int, runs: int) -> tuple[float, float, float]:
    """Least seconds of ``runs``, MB at the peak above what the inputs take, and the loss."""
    import torch

    from wsss_ros.losses import point_to_image_loss

    torch.set_num_threads(threads)
    loss = point_to_image_loss if form == "ours" else plain_correlation
    _correlation_run(loss, 1_200, channels)  # more than one tile: threads and kernels are set up
    inputs_mb = count * channels * 4 * 2 / 2**20
    before, times, value = _resident_mb() + inputs_mb, [], 0.0
    for _ in range(runs):
        seconds, value = _correlation_run(loss, count, channels)
        times.append(seconds)
    return min(times), _status_mb("VmHWM") - before, value


def _correlation_run(loss: Callable, count: int, channels: int) -> tuple[float, float]:
    import torch

    generator = torch.Generator().manual_seed(0)
    image = torch.randn(count, channels, generator=generator).requires_grad_()
    point, weight = torch.randn(count, channels, generator=generator), torch.rand(count, generator=generator)
    began = time.perf_counter()
    value = loss(image, point, weight)
    value.backward()
    return time.perf_counter() - began, float(value.detach())


def plain_correlation(image_features, point_features, weight):
    """Eqs. 8-11 as they are written, with whole matrices."""
    import torch.nn.functional as F

    image, point = F.normalize(image_features, dim=1), F.normalize(point_features, dim=1)
    return (weight[:, None] * weight * (image @ image.T - point @ point.T).abs()).mean()
