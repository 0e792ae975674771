"""Submissions to the ScanNet benchmark."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.fused_scenes import fused_scenes
from wsss_ros.files import write_text
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.label_files.writing import Written, output_folder
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.images import read_rgb
from wsss_ros.scenes.scannet_write import POINTS
from wsss_ros.types import BadInput, Frame

BENCHMARK_SIZE = (640, 480)  # the benchmark scores pictures of this size and shrinks others to it


def benchmark(
    scans: Sequence[Path],
    out: str | Path,
    images: ImageSegmenter | None,
    clouds: CloudSegmenter | None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Written:
    """Write submissions to the benchmark: the folders ``out/3d`` and ``out/2d``. To submit one, zip its files.

    ``3d/SCAN.txt`` holds the nyu40 id of each vertex of ``*_vh_clean_2.ply``, one on each line, for scans with such a
    file. ``2d/SCAN_NNNNNN.png`` holds 8-bit nyu40 ids for each image of ``color``, on the colour camera's pixels,
    resized by nearest neighbour to 640x480, the size at which the benchmark scores (its images are those of
    scannet_frames_test). Raises BadInput as ``segment`` does, for a scan with neither points nor images, and for
    weights of other classes than ScanNet's 20.
    """
    for network in filter(None, (images, clouds)):
        if network.labels.name != "scannet20":
            raise BadInput(f"weights for '{network.labels.name}'; the benchmark has ScanNet's 20 classes (scannet20)")
    written = Written()
    with output_folder(out) as folder:
        for number, scan in enumerate(scans):
            pictures_of, meshes = _color_files(scan) if images else [], list(scan.glob(f"*{POINTS}")) if clouds else []
            if not pictures_of and not meshes:
                raise BadInput(f"{scan}: neither '*{POINTS}' nor images in 'color'; expected a scan of the benchmark")
            for path in pictures_of:
                _benchmark_image(path, folder / "2d" / f"{scan.resolve().name}_{int(path.stem):06d}.png", images)
            if meshes:
                written.points += _benchmark_cloud(scan, folder / "3d", clouds, images)
            written.images += len(pictures_of)
            written.scenes.append(scan.name)
            progress(scan.name, number + 1, len(scans))
    return written


def _color_files(scan: Path) -> list[Path]:
    return sorted((p for p in (scan / "color").glob("*.*") if p.stem.isdecimal()), key=lambda path: int(path.stem))


def _benchmark_image(source: Path, target: Path, images: ImageSegmenter) -> None:
    ids = images.labels.to_ids(images(Frame(read_rgb(source)))[0]).astype(np.uint8)
    pictures.save(Image.fromarray(ids).resize(BENCHMARK_SIZE, Image.Resampling.NEAREST), target)


def _benchmark_cloud(scan: Path, folder: Path, clouds: CloudSegmenter, images: ImageSegmenter | None) -> int:
    (scene,) = fused_scenes([open_scene(scan, clouds.labels)], clouds, images)
    labels = clouds(scene.cloud)[0]
    ids = clouds.labels.to_ids(labels).tolist()
    write_text(folder / f"{scene.name}.txt", "".join(f"{id}\n" for id in ids))
    return len(labels)
