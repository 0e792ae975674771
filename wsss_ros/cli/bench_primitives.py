"""`wsss bench primitives`: the superpoints and primitives of Densify: times, memory, purity."""

from pathlib import Path
from typing import Annotated

import typer


def bench_primitives(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes or folders of scenes; truth is used where it is there.")],
    way: Annotated[
        str, typer.Option(help="Superpoints: densify, densify_s3dis, or another preset of regions.")
    ] = "densify",
    primitives: Annotated[int, typer.Option(min=1, help="Primitives.")] = 300,
    groups: Annotated[int, typer.Option(min=1, help="Groups of primitives.")] = 120,
    cloud_weights: Annotated[
        Path | None, typer.Option(help="Checkpoint whose features take part. None: hand-made features alone.")
    ] = None,
    scale_to: Annotated[int, typer.Option(min=1, help="Scenes for which memory and time are extrapolated.")] = 1500,
    standard: Annotated[int, typer.Option(min=0, help="Rows of the timing of k-means; 0: without.")] = 100_000,
    most: Annotated[int, typer.Option(min=0, help="Number of scenes; 0: all.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's default.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Draw the first two scenes into this PNG.")] = None,
) -> None:
    """Print seconds of each part, memory, and how pure superpoints, primitives and groups are.

    Accuracy and mIoU: if each superpoint (primitive, group) had the most frequent class of its points.
    """
    from rich.console import Console

    from wsss_ros.bench import primitives as bench
    from wsss_ros.bench.region_quality import save
    from wsss_ros.device import use_threads
    from wsss_ros.geometry.regions import PRESETS
    from wsss_ros.labels import scannet20
    from wsss_ros.networks import checkpoint
    from wsss_ros.scenes import open_all
    from wsss_ros.types import BadInput

    if threads:
        use_threads(threads)
    if way not in PRESETS:
        raise BadInput(f"no superpoints are named {way}; choose among {', '.join(PRESETS)}")
    labels = scannet20()
    network = None if cloud_weights is None else checkpoint.load(cloud_weights, "cloud", labels)
    opened, left_out = open_all(scenes, labels)
    opened = opened[:most] if most else opened
    for name, reason in left_out:
        Console(stderr=True).print(f"{name} is left out: {reason}", highlight=False)
    if not opened:
        raise BadInput(f"no scene can be opened in {', '.join(map(str, scenes))}; expected scenes or folders of scenes")
    with Console(stderr=True).status("superpoints") as status:
        for name, found in bench.find(opened, labels, PRESETS[way], network):  # noqa: B007 - the last one is printed
            status.update(name)
        status.update("primitives")
        result = bench.cluster(found, primitives, groups, standard)
        matching = bench.match_ms(primitives, len(labels))
    Console().print(_costs(found, result, standard, scale_to, matching))
    Console().print(_purity(found, result))
    if picture:
        of_scenes = list(zip(opened, result.primitives(found), strict=True))[:2]
        save([bench.picture(scene, labels, PRESETS[way], each, network) for scene, each in of_scenes], picture)
        Console().print(f"written: {picture}", highlight=False)


def _costs(found, result, standard: int, scale_to: int, matching: float):
    """A row for each part: its seconds and memory."""
    from statistics import fmean

    from wsss_ros.bench.primitives import PARTS, STANDARD_WIDTH
    from wsss_ros.cli.tables import table

    scenes, superpoints = len(found.points), sum(len(rows) for rows, _ in found.rows)
    width = found.rows[0][0].shape[1]
    title = f"Scenes: {scenes}, of {fmean(found.points):,.0f} points on average; seconds: wall / processor"
    shown = table(title, "", "one", f"{scale_to:,} scenes")
    for part in PARTS:
        wall, processor = (fmean(values) for values in zip(*found.seconds[part], strict=True))
        shown.add_row(f"{part}, s", *(f"{wall * n:,.2f} / {processor * n:,.2f}" for n in (1, scale_to)))
    shown.add_row("points without superpoint, %", f"{100 * sum(found.free) / sum(found.points):.1f}", "")
    shown.add_row("superpoints", f"{superpoints / scenes:.0f}", f"{superpoints / scenes * scale_to:,.0f}")
    megabytes = superpoints / scenes * width * 4 / 2**20
    shown.add_row("features of superpoints, MB", *(f"{megabytes * n:,.3f}" for n in (1, scale_to)))
    stored = 4 * fmean(found.points) / 2**20
    shown.add_row("superpoints on disk, MB", *(f"{stored * n:,.1f}" for n in (1, scale_to)))
    shown.add_row("peak memory above the start, MB", f"{found.added_mb:,.0f}", "")
    timed = {f"{superpoints:,} x {width}": result.primitives_s}
    timed |= {f"{standard:,} x {STANDARD_WIDTH}": result.standard_s} if standard else {}
    for what, (wall, processor) in timed.items():
        shown.add_row(f"k-means of {what}, s", f"{wall:.2f} / {processor:.2f}", "")
    if standard:
        shown.add_row("its peak memory, without the rows, MB", f"{result.standard_mb:,.0f}", "")
    shown.add_row("groups, s", f"{result.groups_s.wall:.3f} / {result.groups_s.processor:.3f}", "")
    shown.add_row("matching with all classes, ms", f"{matching:.2f}", "")
    return shown


def _purity(found, result):
    """A row for superpoints, primitives and groups."""
    import numpy as np

    from wsss_ros.bench.primitives import purity
    from wsss_ros.cli.tables import table

    classes, cluster = np.concatenate(found.classes), result.clusters.cluster.numpy()
    of_groups = result.group.numpy()[cluster]
    kinds = {"superpoints": np.arange(len(classes)), "primitives": cluster, "groups": of_groups}
    shown = table("If each had the most frequent class of its points, percent", "", "number", "accuracy", "mIoU")
    for name, each in kinds.items():
        accuracy, miou = purity(classes, each, found.missed)
        shown.add_row(name, str(len(np.unique(each))), f"{accuracy:.1f}", f"{miou:.1f}")
    return shown
