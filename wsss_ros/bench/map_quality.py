"""Semantic maps of scenes with truth: what voting brings, next to the labels of single frames, and a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.spatial import cKDTree

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.fusion.map_views import LabelledView, SemanticCloud
from wsss_ros.fusion.semantic_map import SemanticMap, SemanticMapConfig
from wsss_ros.geometry import posed_depth, unproject
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.types import BadInput, Frame, Scene

LEFT_OUT = 5  # one of so many frames does not vote; it is compared with the map
_SIZE = (420, 340)  # of each picture
_GREY, _RED, _DARK = (205, 205, 205), (200, 30, 30), (60, 60, 60)

Segmenter = Callable[[Frame], UInt8[np.ndarray, "H W"]]


@dataclass
class MapQuality:
    """Scores over scenes: voxels of the map; and, at the same pixels of left-out frames, their labels and the map's."""

    labels: LabelSpace
    voxels: int = 0
    refused: list[str] = field(default_factory=list)
    map: ConfusionMatrix = field(init=False)
    frames: ConfusionMatrix = field(init=False)
    seen: ConfusionMatrix = field(init=False)

    def __post_init__(self) -> None:
        self.map, self.frames, self.seen = (ConfusionMatrix(self.labels) for _ in range(3))


def add_scene(quality: MapQuality, segment: Segmenter, scene: Scene, config: SemanticMapConfig) -> SemanticCloud:
    """Map a scene from all frames but each LEFT_OUT-th, and score the map and the frames that were left out."""
    made = SemanticMap(config, len(quality.labels))
    for index in range(len(scene)):
        if index % LEFT_OUT != LEFT_OUT - 1:
            _vote(made, segment, scene.frame(index), quality.refused)
    cloud = made.cloud()
    quality.voxels += len(cloud)
    if (truth := truth_of_voxels(scene, cloud, config.voxel_size_m)) is not None:
        quality.map.update(cloud.labels, truth)
    tree = cKDTree(cloud.xyz)
    for index in range(LEFT_OUT - 1, len(scene), LEFT_OUT):
        if (true := scene.frame_truth(index)) is not None:
            frame = scene.frame(index)
            pixel, voxel = _seen_voxels(frame, tree, config)
            quality.frames.update(segment(frame).ravel()[pixel], true.ravel()[pixel])
            quality.seen.update(cloud.labels[voxel], true.ravel()[pixel])
    return cloud


def truth_of_voxels(scene: Scene, cloud: SemanticCloud, voxel_size_m: float) -> UInt8[np.ndarray, "N"] | None:
    """The class of the nearest true point, 255 without one within two voxels; None for a scene without truth."""
    truth = scene.cloud_truth()
    if truth is None:
        return None
    return _nearest(cloud_of(scene).xyz, truth, cloud.xyz, 2 * voxel_size_m)


def picture(scene: Scene, cloud: SemanticCloud, labels: LabelSpace, voxel_size_m: float) -> list[np.ndarray]:
    """The room, the map, its truth, and where both differ; black parts of the map are grey."""
    own, rotation = cloud_of(scene), upright_rotation(scene)
    truth = truth_of_voxels(scene, cloud, voxel_size_m)
    truth = np.full(len(cloud), UNLABELLED, np.uint8) if truth is None else truth
    wrong = np.full((len(cloud), 3), _GREY, np.uint8)
    wrong[(truth != UNLABELLED) & (cloud.labels != truth)] = _RED
    wrong[cloud.labels == UNLABELLED] = _DARK
    like = own.xyz @ rotation.T
    xyz = cloud.xyz @ rotation.T
    drawn = [pictures.render_cloud(like, own.rgb, like, _SIZE)]
    for colors in (_colors(labels, cloud.labels), _colors(labels, truth), wrong):
        drawn.append(pictures.render_cloud(*_thick(xyz, colors, voxel_size_m), like, _SIZE))
    return drawn


def sheet(rows: Sequence[Sequence[np.ndarray]], labels: LabelSpace, names: Sequence[str]) -> Image.Image:
    """Rows of ``picture`` with titles and a legend."""
    titles = ["the scene", "semantic map", "truth of its voxels", "wrong: red, unlabelled: dark"]
    return pictures.labelled_sheet(titles, rows, labels, names)


def _vote(made: SemanticMap, segment: Segmenter, frame: Frame, refused: list[str]) -> None:
    try:
        depth_m, camera, pose = posed_depth(frame)
        made.add(LabelledView(segment(frame), depth_m, camera, pose, frame.stamp_ns))
    except BadInput as error:
        refused.append(str(error))


def _seen_voxels(frame: Frame, tree: cKDTree, config: SemanticMapConfig) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a frame that show voxels of the map, and these voxels."""
    depth_m, camera, pose = posed_depth(frame)
    xyz, pixel = unproject(depth_m, camera, pose, 2, config.max_depth_m)
    away, voxel = tree.query(xyz, distance_upper_bound=2 * config.voxel_size_m)
    known = np.isfinite(away)
    return pixel[known], voxel[known]


def _nearest(
    known: Float[np.ndarray, "M 3"], labels: UInt8[np.ndarray, "M"], asked: Float[np.ndarray, "N 3"], most_m: float
) -> UInt8[np.ndarray, "N"]:
    away, nearest = cKDTree(known).query(asked, distance_upper_bound=most_m)
    found = np.isfinite(away)
    return np.where(found, labels[np.where(found, nearest, 0)], UNLABELLED).astype(np.uint8)


def _colors(labels: LabelSpace, values: np.ndarray) -> np.ndarray:
    colors = labels.colorize(values)
    colors[values == UNLABELLED] = _DARK
    return colors


def _thick(xyz: np.ndarray, colors: np.ndarray, size_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Eight points for each voxel, so that walls are closed in the picture."""
    corners = np.stack(np.meshgrid(*[(-0.25, 0.25)] * 3), axis=-1).reshape(-1, 3) * size_m
    return (xyz[:, None] + corners).reshape(-1, 3), np.repeat(colors, len(corners), axis=0)
