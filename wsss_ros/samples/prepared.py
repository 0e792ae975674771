"""Scenes prepared for training: decoded once into arrays on disk, which every run, worker and process maps.

Dense truth is stored only on request, for supervised training.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Float32, Float64, Int32, Int64, UInt8, UInt16
from torch import Tensor

from wsss_ros.geometry import link, rectified
from wsss_ros.labels import LabelSpace
from wsss_ros.samples import cache as caches
from wsss_ros.scenes.derived import cloud_of, upright_from_world
from wsss_ros.scenes.frame_choice import training_frames
from wsss_ros.scenes.reading import Reading
from wsss_ros.types import BadInput, Camera, Cloud, Frame, Scene

LEAST_POINTS = 256  # smallest number of points of a cloud for training
_FORMAT = 3  # version of the stored arrays; a new version rebuilds older folders
_log = logging.getLogger("wsss_ros")


@dataclass(frozen=True)
class PreparedScene:
    """One scene as arrays; they are mapped from disk if the scene has a folder.

    ``images`` have at most the requested size. ``depth_mm`` (0: missing), ``cameras`` (fx fy cx cy width height) and
    ``frame_truth`` have the size of the source; labels that a method gives may have another. ``tags`` and
    ``image_tags`` are multi-hot; a frame without tags has a row of zeros. ``known`` and ``image_known`` are 1 where a
    class was judged (present or absent), 0 where it is unknown. In a scene with scene tags alone, its absent classes
    are absent from each image, and its tags are unknown there. ``poses`` are world_from_camera. ``links`` counts the
    points of the cloud that each frame sees. ``xyz`` is in the world frame, in metres. ``upright_from_world`` makes z
    point up, and aligns the walls if the data set has an alignment. ``rgb`` has no rows if the cloud has no colours.
    ``region`` and ``frame_region`` number the regions of the points, and of cells of the images (``scene_regions``),
    -1: none; None until a method needs them. ``hand_made`` has features of the regions of the points
    (``superpoints``), None until a method needs them. ``fused_label`` and ``fused_confidence`` are those of
    ``types.Cloud``, None until a method needs them.
    """

    name: str
    tags: Float32[np.ndarray, "C"]
    image_tags: Float32[np.ndarray, "F C"]
    known: Float32[np.ndarray, "C"]
    image_known: Float32[np.ndarray, "F C"]
    images: UInt8[np.ndarray, "F 3 h w"]
    depth_mm: UInt16[np.ndarray, "F H W"]
    cameras: Float64[np.ndarray, "F 6"]
    poses: Float64[np.ndarray, "F 4 4"]
    links: Int64[np.ndarray, "F"]
    xyz: Float[np.ndarray, "N 3"]
    rgb: UInt8[np.ndarray, "M 3"]
    upright_from_world: Float64[np.ndarray, "4 4"]
    frame_truth: UInt8[np.ndarray, "F labelled_h labelled_w"] | None = None
    cloud_truth: UInt8[np.ndarray, "N"] | None = None
    region: Int32[np.ndarray, "N"] | None = None
    frame_region: Int32[np.ndarray, "F rows columns"] | None = None
    hand_made: Float32[np.ndarray, "R E"] | None = None
    fused_label: UInt8[np.ndarray, "N"] | None = None
    fused_confidence: Float32[np.ndarray, "N"] | None = None

    def camera(self, frame: int) -> Camera:
        """The camera of a frame, for the size of its depth image."""
        fx, fy, cx, cy, width, height = self.cameras[frame]
        return Camera(float(fx), float(fy), float(cx), float(cy), int(width), int(height))

    def image(self, frame: int) -> UInt8[np.ndarray, "3 h w"]:
        """The image of a frame."""
        return self.images[frame]

    def image_name(self, frame: int) -> str:
        """The name of a frame in messages."""
        return f"{self.name}#{frame}"

    def is_squeezed(self, frame: int) -> bool:
        """Whether the image of a frame has lost its aspect ratio, as some photographs have."""
        return False


_NEEDED = [each.name for each in fields(PreparedScene) if each.default is MISSING and each.name != "name"]


@dataclass(frozen=True)
class Prepared:
    """The scenes that can be used for training, and (name, reason) of the others."""

    scenes: list[PreparedScene]
    left_out: list[tuple[str, str]]


def prepare(
    scenes: Iterable[Scene],
    labels: LabelSpace,
    cache: str | Path,
    frames_per_scene: int = 17,
    long_side: int = 512,
    tolerance_m: float = 0.05,
    truth: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decode every scene once: ``frames_per_scene`` of its (tagged) frames (0: all), at most ``long_side`` pixels long.

    A scene with a folder is stored below ``cache``, under a key of its files and these arguments; a second call maps
    the stored arrays. Other scenes stay in memory. ``tolerance_m`` is the largest difference between a visible point's
    depth and the depth image, in metres. A scene that cannot be used is left out with the reason, a frame that cannot
    be read with a warning. ``progress(done, total)`` is called after every scene.
    Raises BadInput when no scene is left.
    """
    scenes = list(scenes)
    settings = _Settings(frames_per_scene, long_side, tolerance_m, truth)
    ready: list[PreparedScene] = []
    left_out: list[tuple[str, str]] = []

    def prepare_one(scene: Scene) -> PreparedScene | str:
        try:
            return _prepare_scene(scene, labels, Path(cache), settings)
        except BadInput as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (scene, result) in enumerate(zip(scenes, pool.map(prepare_one, scenes), strict=True), start=1):
            if isinstance(result, str):
                _log.warning("%s is left out: %s", scene.name, result)
                left_out.append((scene.name, result))
            else:
                ready.append(result)
            if progress:
                progress(done, len(scenes))
    if not ready:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:3])
        raise BadInput(f"none of {len(scenes)} scenes can be trained on ({reasons}); repair them or provide others")
    return Prepared(ready, left_out)


@dataclass(frozen=True)
class _Settings:
    """The options of decoding. The fields, in this order, are part of the key of a stored scene."""

    frames_per_scene: int
    long_side: int
    tolerance_m: float
    truth: bool


def _prepare_scene(scene: Scene, labels: LabelSpace, cache: Path, settings: _Settings) -> PreparedScene:
    folder = getattr(scene, "folder", None)
    if folder is None:
        return _with_absent(PreparedScene(scene.name, **_arrays(scene, labels, settings)))
    place = cache / f"{scene.name}-{_key(scene, getattr(scene, 'sources', (folder,)), labels, settings)}"
    arrays = caches.arrays(place, lambda: _arrays(scene, labels, settings), "the decoded scene", _NEEDED)
    return _with_absent(PreparedScene(scene.name, **arrays))


def _with_absent(scene: PreparedScene) -> PreparedScene:
    """The scene; if no image has a tag, the classes that are absent from the scene are absent from each image."""
    if scene.image_tags.any():
        return scene
    return replace(scene, image_known=np.maximum(scene.image_known, scene.known * (1 - scene.tags)))


def _key(scene: Scene, sources: Iterable[Path], labels: LabelSpace, settings: _Settings) -> str:
    """The key of a stored scene: it changes with the scene's files and frames, the classes and the options."""
    content = []
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        content += caches.stats(path for path in files if path.is_file())
    complete = getattr(scene, "complete", True)
    reading = getattr(scene, "reading", None)  # how the files are read; meta.yaml may be elsewhere than with them
    read_as = [] if reading in (None, Reading()) else [reading.model_dump(mode="json")]
    return caches.key_of(_FORMAT, scene.name, len(scene), labels.names, astuple(settings), complete, content, *read_as)


def _arrays(scene: Scene, labels: LabelSpace, settings: _Settings) -> dict[str, Any]:
    """The arrays of a ``PreparedScene`` by name. Raises BadInput with the reason why the scene cannot be used."""
    if not scene.tags:
        raise BadInput("it has no tags; add tags.csv or tags.json")
    if not len(scene):
        raise BadInput("it has no usable frame")
    views = list(_readable(scene, training_frames(scene, settings.frames_per_scene)))
    cloud = _finite_cloud(scene)
    links = [len(link(cloud, view.frame, settings.tolerance_m)) for view in views]
    if not any(links):
        raise BadInput(
            f"no point of its cloud is visible in any of {len(views)} frames; expected poses and cloud of one scan"
        )
    poses = np.stack([view.world_from_camera for view in views])
    arrays = {
        "tags": labels.multi_hot(scene.tags),
        "image_tags": np.stack([labels.multi_hot(scene.image_tags(view.index) or ()) for view in views]),
        "known": 1 - labels.multi_hot(scene.unknown),
        "image_known": np.stack([_image_known(scene, view.index, labels) for view in views]),
        "images": np.stack([shrunk(view.frame.rgb, settings.long_side).numpy() for view in views]),
        "depth_mm": np.stack([_millimetres(view.depth_m) for view in views]),
        "cameras": np.array([astuple(view.camera)[:6] for view in views], np.float64),
        "poses": poses,
        "links": np.array(links, np.int64),
        "xyz": cloud.xyz,
        "rgb": np.zeros((0, 3), np.uint8) if cloud.rgb is None else cloud.rgb,
        "upright_from_world": upright_from_world(scene, cloud.xyz, poses),
    }
    if settings.truth:
        arrays |= _truth(scene, [view.index for view in views], len(cloud))
    return arrays


def _image_known(scene: Scene, index: int, labels: LabelSpace) -> Float32[np.ndarray, "C"]:
    if scene.image_tags(index) is None:
        return np.zeros(len(labels), np.float32)
    return 1 - labels.multi_hot(scene.image_unknown(index))


@dataclass(frozen=True)
class _View:
    """A frame with depth, camera and pose, which links need; ``index`` is its index in the scene."""

    index: int
    frame: Frame
    depth_m: Float32[np.ndarray, "H W"]
    camera: Camera
    world_from_camera: Float64[np.ndarray, "4 4"]


def _readable(scene: Scene, indices: Sequence[int]) -> Iterator[_View]:
    """The frames that can be decoded and have depth, camera, pose and the size of the first such frame.

    Raises BadInput when there is none.
    """
    size, first_fault = None, ""
    for index in indices:
        try:
            frame = rectified(scene.frame(index))
        except BadInput as error:
            _log.warning("%s: a frame is left out: %s", scene.name, error)
            first_fault = first_fault or str(error)
            continue
        if frame.depth_m is None or frame.camera is None or frame.world_from_camera is None:
            first_fault = first_fault or f"frame '{frame.name}' lacks depth, camera or pose"
        elif size not in (None, frame.rgb.shape):
            _log.warning("%s: frame '%s' is left out: %s, others %s", scene.name, frame.name, frame.rgb.shape, size)
        else:
            size = frame.rgb.shape
            yield _View(index, frame, frame.depth_m, frame.camera, frame.world_from_camera)
    if size is None:
        raise BadInput(f"none of {len(indices)} frames can be used; the first: {first_fault}")


def _finite_cloud(scene: Scene) -> Cloud:
    """The scene's own cloud, else the cloud fused from all its frames, without points that are not finite.

    Raises BadInput when fewer than ``LEAST_POINTS`` points are left.
    """
    cloud = cloud_of(scene, (view.frame for view in _readable(scene, range(len(scene)))))
    finite = np.isfinite(cloud.xyz).all(axis=1)
    if finite.sum() < LEAST_POINTS:
        raise BadInput(f"its cloud has {int(finite.sum())} finite points; expected at least {LEAST_POINTS}")
    if finite.all():
        return cloud
    return Cloud(cloud.xyz[finite], None if cloud.rgb is None else cloud.rgb[finite])


def _truth(scene: Scene, indices: list[int], points: int) -> dict[str, np.ndarray]:
    truths, cloud = [scene.frame_truth(index) for index in indices], scene.cloud_truth()
    frames = [truth for truth in truths if truth is not None]
    if cloud is None or len(frames) < len(truths):
        raise BadInput("it has no dense labels, which supervised training needs")
    if len(cloud) != points:
        raise BadInput(f"its cloud has {points} finite points and {len(cloud)} labels; expected one each")
    return {"frame_truth": np.stack(frames), "cloud_truth": cloud}


def _millimetres(depth_m: np.ndarray) -> UInt16[np.ndarray, "H W"]:
    usable = np.isfinite(depth_m) & (depth_m > 0) & (depth_m < 65)
    millimetres: UInt16[np.ndarray, "H W"] = np.rint(np.where(usable, depth_m, 0) * 1000).astype(np.uint16)
    return millimetres


def shrunk(rgb: UInt8[np.ndarray, "H W 3"], long_side: int) -> UInt8[Tensor, "3 h w"]:
    """An image whose longer side has at most ``long_side`` pixels; a smaller image keeps its size."""
    image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)
    scale = long_side / max(rgb.shape[:2])
    if scale >= 1:
        return image.contiguous()
    size = (round(rgb.shape[0] * scale), round(rgb.shape[1] * scale))
    shrunk = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    return shrunk.round().to(torch.uint8)
