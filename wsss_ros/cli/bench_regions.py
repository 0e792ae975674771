"""`wsss bench regions`: the ways to divide clouds into regions, against dense truth."""

from pathlib import Path
from typing import Annotated

import typer


def bench_regions(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes or folders of scenes; truth is used where it is there.")],
    way: Annotated[list[str], typer.Option(help="growing, vccs, both, wypr, densify or densify_s3dis; repeatable.")] = [  # noqa: B006
        "growing",
        "vccs",
        "both",
        "wypr",
        "densify",
    ],
    most: Annotated[int, typer.Option(min=0, help="Number of scenes; 0: all.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's default.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the regions of the first two scenes into this PNG.")
    ] = None,
) -> None:
    """Print number and purity of regions, how many true boundaries they find, and seconds.

    Percent of the points: none, without region; purity, with the most frequent class (object) of their region; recall,
    of those at boundaries between classes (objects), with a boundary of regions within 5 cm. mIoU: if each region had
    its most frequent class.
    """
    from rich.console import Console

    from wsss_ros.bench import region_quality
    from wsss_ros.device import use_threads
    from wsss_ros.geometry.regions import PRESETS
    from wsss_ros.labels import scannet20
    from wsss_ros.scenes import open_all
    from wsss_ros.types import BadInput

    if threads:
        use_threads(threads)
    if unknown := sorted(set(way) - set(PRESETS)):
        raise BadInput(f"no regions are named {', '.join(unknown)}; choose among {', '.join(PRESETS)}")
    labels, ways = scannet20(), {name: PRESETS[name] for name in way}
    opened, left_out = open_all(scenes, labels)
    opened = opened[:most] if most else opened
    scores: dict = {}
    with Console(stderr=True).status("regions") as status:
        for name, scores in region_quality.measure(opened, labels, ways):  # noqa: B007 - the last ones are printed
            status.update(name)
    for name, reason in left_out:
        Console(stderr=True).print(f"{name} is left out: {reason}", highlight=False)
    Console().print(_table(scores, len(opened)))
    if picture and opened:
        region_quality.save([region_quality.picture(scene, labels, ways) for scene in opened[:2]], picture)
        Console().print(f"written: {picture}", highlight=False)


def _table(scores: dict, scenes: int):
    """A row for each way."""
    from wsss_ros.cli.tables import table

    rows = {name: quality.row() for name, quality in scores.items()}
    points = next(iter(rows.values()))["points"] if rows else 0
    columns = ("regions", "free", "purity_classes", "purity_objects", "recall_classes", "recall_objects", "miou")
    headings = ("regions", "none", "purity", "objects", "recall", "objects", "mIoU", "s")
    shown = table(f"Clouds: {scenes}, of {points:,.0f} points on average", "", *headings)
    for name, row in rows.items():
        values = ("-" if row[column] is None else f"{row[column]:.1f}" for column in columns)
        shown.add_row(name, *values, f"{row['seconds']:.2f}")
    return shown
