"""``wsss bench train``: what a training step costs, part by part, and what the correlation loss saves."""

from pathlib import Path
from typing import Annotated

import typer

_DEFAULT = Path("config/joint_rooms.yaml")


def bench_train(
    config: Annotated[
        Path, typer.Argument(help="A configuration with such a phase, measured on its scenes where they exist.")
    ] = _DEFAULT,
    method: Annotated[str, typer.Option(help="The last phase of CONFIG with this method is measured.")] = "joint",
    network: Annotated[str, typer.Option(help="light or paper: this pair on made-up scenes instead of CONFIG.")] = "",
    image_size: Annotated[int, typer.Option(help="Edge of the crops, pixels; 0 keeps it.")] = 0,
    points: Annotated[int, typer.Option(help="Points of a cloud; 0 keeps their number.")] = 0,
    batch: Annotated[int, typer.Option(help="Samples of a step; 0 keeps their number.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Steps to measure, after two to warm up.")] = 10,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; empty keeps the configuration's.")] = "",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16; empty keeps the configuration's.")] = "",
    checkpointing: Annotated[bool, typer.Option(help="Activation checkpointing in the image network.")] = False,
    correlation: Annotated[bool, typer.Option(help="Measure the correlation loss against its dense form, too.")] = True,
) -> None:
    """Print samples a second, peak memory and the share of each part of a joint step. Close other programs first."""
    from rich.console import Console

    from wsss_ros.bench import correlation as correlation_loss
    from wsss_ros.bench import joint_settings, joint_step
    from wsss_ros.config import share

    console, waiting = Console(), Console(stderr=True)
    changes = joint_settings.Changes(image_size, points, batch, device, precision, checkpointing)
    if network:
        settings = joint_settings.of_pair(network, changes)
    else:
        path = share(str(config)) if config == _DEFAULT and not config.exists() else config
        settings = joint_settings.of_file(path, changes, method)
    with waiting.status("steps of the phase"):
        cost = joint_step.measure(settings, steps, made_up=bool(network))
    console.print(*_step(settings, cost), sep="\n", highlight=False)
    if correlation and method == "joint":
        with waiting.status("correlation loss"):
            comparisons = list(correlation_loss.compare())
        console.print(_correlation(comparisons))


def _step(settings, cost) -> list:
    """What was measured, a table of parts, samples a second, and memory."""
    from wsss_ros.cli.tables import table

    image, cloud = settings.image, settings.cloud
    sizes = [f"{image.network} {image.augment.crop} px"] if image else []
    sizes += [f"{cloud.network} {cloud.augment.points:,} points"] if cloud else []
    sizes += [f"{cost.links:,.0f} links"] if cost.links else []
    title = (
        f"{settings.phases[0].method} step: {', '.join(sizes)}, batch {cost.batch}, {settings.precision}, {cost.scenes}"
    )
    parts = table("", "part", "ms a sample", "share")
    for part, seconds in cost.part_seconds.items():
        parts.add_row(part, f"{1e3 * seconds / cost.samples:.1f}", f"{100 * seconds / cost.seconds:.0f} %")
    parts.add_row("all", f"{1e3 * cost.seconds / cost.samples:.1f}", "100 %", style="bold")
    expected = " (at least 1 for the light pair)" if settings.phases[0].method == "joint" else ""
    rate = f"{cost.samples_per_second:.2f} samples a second on {cost.processor}{expected}"
    before = f"{cost.prepare_seconds:.1f} s before the first epoch (clusters, labels)"
    return [title, parts, rate, _memory(cost.memory), *([before] if cost.prepare_seconds > 0.05 else [])]


def _memory(peak) -> str:
    text = f"peak memory of the process {peak.process_mb:,.0f} MB, of which {peak.added_mb:,.0f} MB by the steps"
    return text if peak.gpu_mb is None else f"{text}; of the GPU {peak.gpu_mb:,.0f} MB"


def _correlation(comparisons: list):
    from wsss_ros.bench.correlation import CHANNELS, COUNT
    from wsss_ros.cli.tables import table

    title = f"correlation loss (eqs. 8-11) on the CPU: {COUNT:,} points, {CHANNELS} channels"
    shown = table(title, "threads", "plain formula", "ours", "times as fast", "of its memory", "off by")
    for found in comparisons:
        plain, ours = found.plain, found.ours
        shown.add_row(
            str(found.threads),
            f"{1e3 * plain.seconds:,.0f} ms, {plain.peak_mb:,.0f} MB",
            f"{1e3 * ours.seconds:,.0f} ms, {ours.peak_mb:,.0f} MB",
            f"{plain.seconds / ours.seconds:.1f} (at least 3)",
            f"1/{plain.peak_mb / max(ours.peak_mb, 0.1):.0f} (at most 1/20)",
            f"{abs(plain.value - ours.value) / plain.value:.0e}",
        )
    return shown
