"""Pictures of what nodes published, for a scene without truth."""

import numpy as np
import pytest
from PIL import Image

from wsss_ros.evaluation import played_pictures
from wsss_ros.evaluation.played import Played, Points, Published
from wsss_ros.labels import UNLABELLED
from wsss_ros.scenes import ply

GREY = np.full((48, 64, 3), 90, np.uint8)
WALL, SINK = 0, 17


@pytest.fixture
def published() -> Published:
    """Left halves of images are wall, right halves unlabelled; the cloud is a sink in front of unlabelled points."""
    image = np.full((48, 64), UNLABELLED, np.uint8)
    image[:, :32] = WALL
    plane = np.stack(np.meshgrid(np.linspace(0, 2, 60), np.linspace(0, 2, 60), [0.0]), -1).reshape(-1, 3)
    labels = np.where(plane[:, 1] < 1, SINK, UNLABELLED).astype(np.uint8)
    xyz = plane.astype(np.float32)
    rgb = np.full(xyz.shape, 200, np.uint8)
    cloud = Points(xyz, rgb, labels)
    stamps = range(100, 108)
    confidence = {stamp: np.ones((48, 64), np.float32) for stamp in stamps}
    return Published(dict.fromkeys(stamps, image), confidence, cloud, Points(xyz, rgb, labels))


def drawn(path, color) -> int:
    return int((np.asarray(Image.open(path)) == np.array(color)).all(-1).sum())


@pytest.mark.parametrize("images", [8, 1])
def test_frames_clouds_and_an_overview_are_drawn_without_truth(published, labels, tmp_path, images):
    played = Played(images={stamp: GREY for stamp in range(100, 100 + images)})
    names = [path.name for path in played_pictures.write(played, published, labels, tmp_path)]
    assert names == ["frames.png", "cloud.png", "cloud.ply", "overview.png"]
    mixed = (GREY[0, 0] * 0.35 + np.array(labels.colors[WALL]) * 0.65).astype(np.uint8)
    rows = min(3, images)
    page = tmp_path / "overview.png"
    assert drawn(page, mixed) == rows * 240 * 160, "labels over the left half of each frame"
    assert drawn(page, GREY[0, 0]) == rows * 240 * (320 + 160), "an unlabelled pixel shows the image"
    shown = [drawn(page, color) for color in (labels.colors[SINK], (0, 0, 0), (200, 200, 200))]
    assert min(shown) > 2000, "sink, unlabelled points, and the cloud in its own colours"
    vertices = ply.read(tmp_path / "cloud.ply")
    assert set(vertices["label"]) == {SINK, UNLABELLED} and not vertices["red"][vertices["label"] == UNLABELLED].any()
