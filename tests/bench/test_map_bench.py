"""`wsss bench map` on a room whose classes are known; the room and the figures of `wsss bench mapper`."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.tiny_scene import TinyScene

from wsss_ros.bench import map_quality, mapped_room
from wsss_ros.bench.map_quality import MapQuality
from wsss_ros.fusion.map_files import read_map
from wsss_ros.fusion.semantic_map import SemanticMap, SemanticMapConfig
from wsss_ros.geometry import unproject
from wsss_ros.types import Cloud, Frame

CONFIG = SemanticMapConfig(voxel_size_m=0.1, min_votes=0.3, max_depth_m=8)


class Room(TinyScene):
    """The views of ``mapped_room`` as a scene; its cloud are all their points."""

    def __init__(self) -> None:
        super().__init__("room", world_up=(0.0, 0.0, 1.0))
        self.views = mapped_room.round_trip(64, 48, 20)
        parts = [unproject(view.depth_m, view.camera, view.world_from_camera) for view in self.views]
        self.xyz = np.concatenate([xyz for xyz, _ in parts])
        self.truth = np.concatenate([self.frame_truth(n).ravel()[pixel] for n, (_, pixel) in enumerate(parts)])

    def __len__(self) -> int:
        return len(self.views)

    def frame(self, index: int) -> Frame:
        view = self.views[index]
        return Frame(view.rgb, view.camera, view.depth_m, view.world_from_camera, index, str(index))

    def frame_truth(self, index: int) -> np.ndarray:
        return self.views[index].ids.astype(np.uint8)

    @property
    def cloud(self) -> Cloud:
        return Cloud(self.xyz.astype(np.float32), np.zeros((len(self.xyz), 3), np.uint8))

    def cloud_truth(self) -> np.ndarray:
        return self.truth


@pytest.fixture(scope="module")
def room() -> Room:
    return Room()


def test_votes_correct_the_labels_of_single_frames(room, labels):
    """Three of ten pixels have a random label: the frames are right at seven, the map nearly everywhere."""
    random = np.random.default_rng(0)

    def segment(frame: Frame) -> np.ndarray:
        true = room.frame_truth(int(frame.name))
        return np.where(random.random(true.shape) < 0.3, random.integers(0, 20, true.shape), true).astype(np.uint8)

    quality = MapQuality(labels)
    cloud = map_quality.add_scene(quality, segment, room, CONFIG)
    assert quality.voxels == len(cloud) > 2000 and not quality.refused
    frames, seen, made = (each.compute()["accuracy"] for each in (quality.frames, quality.seen, quality.map))
    assert frames == pytest.approx(71.5, abs=2) and seen > 85 and made > 85
    drawn = map_quality.picture(room, cloud, labels, CONFIG.voxel_size_m)
    assert [picture.shape for picture in drawn] == [(340, 420, 3)] * 4
    assert map_quality.sheet([drawn], labels, labels.present(cloud.labels)).width > 4 * 420


def test_the_points_of_a_view_lie_on_the_walls(room):
    low, high = np.array([-3, -2.5, 0]), np.array([3, 2.5, 2.5])
    away = np.minimum(np.abs(room.xyz - low), np.abs(room.xyz - high)).min(axis=1)
    assert (away < 0.03).mean() > 0.99
    assert (room.xyz > low - 0.05).all() and (room.xyz < high + 0.05).all()


def test_a_large_map_is_read_as_it_is_described(tmp_path, labels):
    mapped_room.write_large_map(tmp_path / "map.npz", 12_345, labels.names)
    about, state = read_map(tmp_path / "map.npz")
    made = SemanticMap(SemanticMapConfig(), len(about.classes))
    made.restore(state)
    cloud = made.cloud()
    assert len(made) == len(cloud) == 12_345
    assert set(cloud.labels.tolist()) == {0} and np.allclose(cloud.confidence, 0.6) and (cloud.xyz[:, 2] < -2.9).all()


def test_figures_of_a_run():
    mapper_bench = pytest.importorskip("wsss_ros.nodes.mapper_bench", reason="ROS 2 is not installed")
    watch = mapper_bench.Watch(SimpleNamespace(create_subscription=lambda *given: None), None)
    for second in range(100):
        values = {"processed": 10 * second, "voxels": 5, "memory_mb": 300 + second / 60, "rate_hz": 9.5}
        values |= {"latency_median_ms": 40, "latency_p95_ms": 60, "dropped frame replaced by a newer one": second}
        watch._add("active" if second < 90 else "a problem", {key: str(value) for key, value in values.items()})
        watch.samples[-1]["s"] = float(second)
    report = watch.report()
    assert report["memory_growth_mb_per_minute"] == pytest.approx(1, abs=0.01)
    assert (report["rate_hz"], report["views"], report["problems"]) == (9.5, 990, ["a problem"])
    assert report["drops"] == {"dropped frame replaced by a newer one": 99}
