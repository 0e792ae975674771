"""`wsss bench map`: semantic maps of scenes with truth, next to the labels of single frames."""

from pathlib import Path
from typing import Annotated

import typer

from wsss_ros.cli.options import Device


def bench_map(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes, or folders of scenes, with truth.")],
    weights: Annotated[str, typer.Option(help="Image checkpoint; empty for the one that ships.")] = "",
    most: Annotated[int, typer.Option(min=0, help="Number of scenes; 0: all.")] = 0,
    voxel: Annotated[float, typer.Option(min=0.01, max=2, help="Edge of a voxel, metres.")] = 0.05,
    picture: Annotated[Path | None, typer.Option(help="Draw the first two maps next to their truth: a PNG.")] = None,
    device: Device = "auto",
) -> None:
    """Print the mIoU of maps, and of single frames and of the map at the same pixels of frames that did not vote."""
    from rich.console import Console

    from wsss_ros.bench import map_quality
    from wsss_ros.evaluation import pictures
    from wsss_ros.fusion.semantic_map import SemanticMapConfig
    from wsss_ros.inference import ImageSegmenter
    from wsss_ros.labels import RECOMMENDED, scannet20
    from wsss_ros.scenes import open_all

    labels, config = scannet20(), SemanticMapConfig(voxel_size_m=voxel)
    segmenter, quality = ImageSegmenter(weights, device), map_quality.MapQuality(labels)
    rows: list = []
    shown: set[str] = set()

    def segment(frame):
        found, confidence = segmenter(frame)
        return segmenter.drop_unsure(found, confidence, RECOMMENDED)

    opened, left_out = open_all(scenes, labels)
    opened = opened[:most] if most else opened
    with Console(stderr=True).status("maps") as status:
        for scene in opened:
            status.update(scene.name)
            cloud = map_quality.add_scene(quality, segment, scene, config)
            if picture and len(rows) < 2:
                rows.append(map_quality.picture(scene, cloud, labels, voxel))
                shown.update(labels.present(cloud.labels))
    for name, reason in [*left_out, *(("a frame", reason) for reason in quality.refused)]:
        Console(stderr=True).print(f"{name} is left out: {reason}", highlight=False)
    Console().print(_table(quality, len(opened)))
    if picture and rows:
        pictures.save(map_quality.sheet(rows, labels, sorted(shown)), picture)
        Console().print(f"written: {picture}", highlight=False)


def _table(quality, scenes: int):
    from wsss_ros.cli.tables import table
    from wsss_ros.evaluation.tables import percent

    shown = table(f"semantic maps: {scenes} scenes, {quality.voxels:,} voxels", "", "mIoU", "accuracy", "labelled")
    compared = {
        "voxels of the map": quality.map,
        "left-out frames, their own labels": quality.frames,
        "left-out frames, labels of the map": quality.seen,
    }
    for name, matrix in compared.items():
        scores = matrix.compute()
        shown.add_row(name, *(percent(scores[key]) for key in ("miou", "accuracy", "coverage")))
    return shown
