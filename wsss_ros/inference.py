"""Inference: labels and confidence for each pixel of an image or each point of a cloud.

The two networks are independent: neither needs the other's input. Nodes, commands and scripts use this module.
"""

import copy
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor, nn

from wsss_ros import cam, geometry
from wsss_ros.device import device_named, dtype_named, use_threads
from wsss_ros.geometry import neighbors
from wsss_ros.labels import RECOMMENDED, UNLABELLED, LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint
from wsss_ros.networks.classifier import (
    FusedLabels,
    input_features,
    normalise_images,
    takes_fused_labels,
    upsample,
    upsampled_mean,
)
from wsss_ros.networks.image_input import network_input
from wsss_ros.networks.pixel_labels import label_pixels
from wsss_ros.types import BadInput, Cloud, Frame

SHIPPED = Path(__file__).parent / "weights"  # folder of the checkpoints that come with the package
_NEIGHBOUR_CHUNK = 250_000
_TILE_M, _MARGIN_M = 8.0, 1.0  # of the parts of clouds that are wider than a room
_POINTS = 40_000  # of a cloud, for networks whose checkpoint does not say how many they were trained with
log = logging.getLogger("wsss_ros")


class Segmenter:
    """The base class of both segmenters: the network of a checkpoint on a device, in one precision.

    ``file`` is the file of the checkpoint, empty for a checkpoint that was given in memory.
    """

    kind: str  # the kind of the network, one of KINDS

    def __init__(
        self, weights: Checkpoint | str | Path, device: str, precision: str, threads: int, labels: LabelSpace | None
    ):
        self._options: dict[str, Any] = {"device": device, "precision": precision, "threads": threads}
        self.file = "" if isinstance(weights, Checkpoint) else str(weights or shipped_weights(self.kind))
        use_threads(threads)
        self.device = device_named(device)
        self.dtype = dtype_named(precision, self.device)
        if isinstance(weights, Checkpoint):
            weights = replace(weights, network=copy.deepcopy(weights.network))  # the caller's network is not changed
        else:
            weights = checkpoint.load(self.file, self.kind, labels)
        self.labels: LabelSpace = weights.labels
        self.version: str = weights.version
        self.config = weights.config
        self.training = weights.training
        network: Any = weights.network.eval()
        if hasattr(network.backbone, "fused"):
            network.backbone = network.backbone.fused()
        self.network: Any = network.to(self.device)  # not nn.Module, whose type does not know memory_format

    def with_weights(self, weights: Checkpoint | str | Path) -> "Segmenter":
        """A new segmenter with the same options and other weights; this segmenter is not changed.

        Raises BadInput when the weights cannot be used or are for another label space.
        """
        return type(self)(weights, labels=self.labels, **self._options)

    def threshold(self, min_confidence: float = RECOMMENDED) -> float:
        """The confidence that a label needs: ``min_confidence``, or the recommendation of the checkpoint for -1."""
        return self.config.min_confidence if min_confidence < 0 else min_confidence

    def drop_unsure(
        self,
        labels: UInt8[np.ndarray, "..."],
        confidence: Float32[np.ndarray, "..."],
        min_confidence: float = RECOMMENDED,
    ) -> UInt8[np.ndarray, "..."]:
        """The labels, with 255 where the confidence is below the ``threshold``; 0 keeps all labels."""
        threshold = self.threshold(min_confidence)
        return np.where(confidence < threshold, np.uint8(UNLABELLED), labels) if threshold else labels

    def autocast(self) -> torch.autocast:
        """The context in which the network computes."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


class ImageSegmenter(Segmenter):
    """Labels the pixels of one RGB image.

    ``weights`` is a checkpoint or its file; empty for the weights that ship. ``precision`` "auto" is bfloat16 if the
    hardware supports it. ``threads`` is the number of CPU threads; 0: torch's default. With ``labels``, a file of
    another label space is refused. Raises BadInput when the weights or the device cannot be used.
    """

    kind = "image"

    def __init__(
        self,
        weights: Checkpoint | str | Path = "",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        labels: LabelSpace | None = None,
    ):
        super().__init__(weights, device, precision, threads, labels)
        self.network = self.network.to(memory_format=torch.channels_last)
        for part in self.network.modules():  # autocast would convert these weights again for each image
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.to(self.dtype)

    @torch.inference_mode()
    def __call__(
        self, frame: Frame, present: Float32[np.ndarray, "C"] | None = None, turns: int = 0
    ) -> tuple[UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """Labels and confidence (0..1) at the size of the image. Only ``frame.rgb`` is read.

        With ``present``, a multi-hot vector, pixels get its classes only (eq. 5). Without it, they get the classes that
        the network finds in the whole image (``NetworkConfig.presence_floor``). ``turns`` quarter turns make the image
        upright for the network (``geometry.quarter_turns``); the result is in the orientation of the image.
        """
        return self.decide(self.maps(frame.rgb, turns), frame.rgb.shape[:2], present)

    @torch.inference_mode()
    def decide(
        self, maps: Float[Tensor, "1 C h w"], size: tuple[int, int], present: Float32[np.ndarray, "C"] | None = None
    ) -> tuple[UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """What ``__call__`` returns for an image of ``size`` (rows, columns) that has these ``maps``."""
        if present is None:
            present = self.present_classes(maps, size)
        if self.device.type == "cpu":
            return label_pixels(maps[0].contiguous().numpy(), size, present, self.config.temperature)
        scores = upsample(maps, size).permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
        labels, confidence = _decide(scores, present, self.config.temperature)
        return labels.reshape(size), confidence.reshape(size)

    @torch.inference_mode()
    def present_classes(self, maps: Float[Tensor, "1 C h w"], size: tuple[int, int]) -> Float32[np.ndarray, "C"] | None:
        """The multi-hot vector of the classes in the image by the averaged scores (eq. 1), at least the likeliest.

        None without a ``presence_floor``: each class may win.
        """
        if not self.config.presence_floor:
            return None
        probability = torch.sigmoid(self._tag_logits(maps, size))
        present = probability >= self.config.presence_floor
        present[probability.argmax()] = True
        return present.float().cpu().numpy()

    def _tag_logits(self, maps: Float[Tensor, "1 C h w"], size: tuple[int, int]) -> Float[Tensor, "C"]:
        mean_scores, log_odds = upsampled_mean(maps, size)[0], self.config.tag_log_odds
        return mean_scores + (mean_scores.new_tensor(log_odds) if log_odds else 0.0)

    @torch.inference_mode()
    def tag_scores(self, maps: Float[Tensor, "1 C h w"], size: tuple[int, int]) -> Float32[np.ndarray, "C"]:
        """The logit of each class to be somewhere in the image: averaged scores (eq. 1) plus the tags' log-odds."""
        logits: Float32[np.ndarray, "C"] = self._tag_logits(maps, size).cpu().numpy()
        return logits

    def scores(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 C H W"]:
        """Class scores (logits) of every pixel: the 2D class activation map, resized bilinearly to the image size.

        Raises BadInput on an image without pixels.
        """
        return upsample(self.maps(rgb), rgb.shape[:2])

    @torch.inference_mode()
    def maps(self, rgb: UInt8[np.ndarray, "H W 3"], turns: int = 0) -> Float[Tensor, "1 C h w"]:
        """Class scores (logits) on the grid of the network, in the orientation of the image.

        The network sees the image after ``turns`` quarter turns to the left. Raises BadInput on an image without
        pixels.
        """
        if rgb.shape[0] == 0 or rgb.shape[1] == 0:
            raise BadInput(f"an image of {rgb.shape[1]}x{rgb.shape[0]} pixels has nothing to segment")
        with self.autocast():
            scores = self.network(_turned(self.network_input(rgb), turns))[1].float()
        return _turned(scores, -turns)

    def network_input(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """The image at the size that the network takes, normalised, on the device."""
        size = _fitted(rgb.shape[:2], self.config.long_side)
        if self.device.type == "cpu":
            return torch.from_numpy(network_input(rgb, size)).permute(2, 0, 1)[None]  # channels last in memory
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device).permute(2, 0, 1)[None]
        return _resize(normalise_images(pixels.float() / 255), size)


class CloudSegmenter(Segmenter):
    """Labels the points of one cloud of any size.

    The network processes at most ``points`` points, drawn uniformly at random; 0: as many as a training cloud had, or
    40,000 if the checkpoint does not say it. If the cloud has more, every point gets
    the class scores of its three nearest drawn points, weighted by inverse distance.

    The network knows rooms. A cloud that is wider than 10 m is segmented in square tiles of about 8 m, each together
    with the 1 m around it and with ``points`` of its own: otherwise the drawn points of a whole flat are too sparse for
    furniture. The other arguments are those of ``ImageSegmenter``.
    """

    kind = "cloud"

    def __init__(
        self,
        weights: Checkpoint | str | Path = "",
        device: str = "auto",
        precision: str = "auto",
        points: int = 0,
        threads: int = 0,
        labels: LabelSpace | None = None,
    ):
        super().__init__(weights, device, precision, threads, labels)
        self._options["points"] = points
        self.points = points or self.config.points or _POINTS
        self._warned = False

    def color_problem(self, rgb: UInt8[np.ndarray, "N 3"] | None) -> str:
        """What is wrong with a cloud with these colours, or "": without colours it may be new to the network."""
        inputs = self.config.inputs
        if rgb is not None or "color" not in inputs or "has_color" in inputs:
            return ""
        return (
            f"the cloud has no colours, and weights {self.version} were trained on coloured clouds only: it is "
            "segmented as grey, less accurately; publish a cloud with an 'rgb' field, or train weights with the cloud "
            "input 'has_color' and 'drop_color'"
        )

    @property
    def takes_fused_labels(self) -> bool:
        """Whether the network needs the labels that images vote for (``Cloud.fused_label``)."""
        return takes_fused_labels(self.config.inputs)

    @torch.inference_mode()
    def __call__(
        self,
        cloud: Cloud,
        up: tuple[float, float, float] = (0.0, 0.0, 1.0),
        present: Float32[np.ndarray, "C"] | None = None,
    ) -> tuple[UInt8[np.ndarray, "N"], Float32[np.ndarray, "N"]]:
        """Labels and confidence (0..1) of each point; a point that is not finite gets 255 and 0.

        ``up`` points against gravity in the cloud's frame. With ``present``, a multi-hot vector, points get its classes
        only (eq. 5). A cloud without colours is segmented as a grey one, with one warning if the network has a
        ``color_problem`` with it.
        Raises BadInput for a cloud without finite points, and for one without fused labels if the network needs them.
        """
        finite = self._finite(cloud)
        labels = np.full(len(cloud), UNLABELLED, np.uint8)
        confidence = np.zeros(len(cloud), np.float32)
        place = np.flatnonzero(finite)
        for rows, scores in self._score_parts(cloud, finite, up):
            labels[place[rows]], confidence[place[rows]] = _decide(scores, present, self.config.temperature)
        return labels, confidence

    @torch.inference_mode()
    def point_scores(self, cloud: Cloud, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Float[Tensor, "N C"]:
        """Class scores (logits) of each finite point, which ``__call__`` labels. Raises BadInput as it does."""
        rows, scores = zip(*self._score_parts(cloud, self._finite(cloud), up), strict=True)
        return torch.cat(scores)[np.concatenate(rows).argsort()]

    def _finite(self, cloud: Cloud) -> Bool[np.ndarray, "N"]:
        """Which points are finite. Raises BadInput for a cloud that cannot be segmented."""
        if self.takes_fused_labels and cloud.fused_label is None:
            raise BadInput(
                f"the cloud has no fused labels, and weights {self.version} take them (inputs "
                f"{', '.join(self.config.inputs)}): labels of images, voted onto the points; segment a scene with "
                "frames and poses and an image network, publish a cloud with a field 'label', or use other weights"
            )
        finite = np.isfinite(cloud.xyz).all(axis=1)
        if not finite.any():
            raise BadInput(f"a cloud of {len(cloud)} points, none of them finite, has nothing to segment")
        return finite

    @staticmethod
    def _upright(xyz: Float[np.ndarray, "N 3"], up: tuple[float, float, float]) -> Float32[np.ndarray, "N 3"]:
        """Points with z against gravity and the centroid at the origin, where float32 is most precise."""
        if (origin := geometry.local_origin(xyz)).any():
            xyz = xyz - origin  # exact; the mean of large numbers is not
        centred = xyz - xyz.mean(axis=0, dtype=np.float64)
        return (centred @ geometry.upright(np.asarray(up, np.float64)).T).astype(np.float32)

    def _score_parts(
        self, cloud: Cloud, finite: Bool[np.ndarray, "N"], up: tuple[float, float, float]
    ) -> Iterator[tuple[Int64[np.ndarray, "M"], Float[Tensor, "M C"]]]:
        """Rows of the finite points and their class scores, in parts that fit into memory."""
        xyz = self._upright(cloud.xyz[finite], up)
        columns = cloud.rgb, cloud.fused_label, cloud.fused_confidence
        columns = tuple(None if column is None else column[finite] for column in columns)
        for own, seen in geometry.tiles(xyz[:, :2], _TILE_M, _MARGIN_M):
            chosen = seen[_sample(len(seen), self.points)]
            support = xyz[chosen]
            centred = support - support.mean(axis=0) if len(seen) < len(xyz) else support
            scores = self.scores(centred, *(None if column is None else column[chosen] for column in columns))
            if len(chosen) == len(seen):
                yield own, scores[np.searchsorted(seen, own)]
                continue
            drawn = torch.from_numpy(support).to(self.device)
            for start in range(0, len(own), _NEIGHBOUR_CHUNK):
                rows = own[start : start + _NEIGHBOUR_CHUNK]
                yield rows, neighbors.interpolate_at(torch.from_numpy(xyz[rows]).to(self.device), drawn, scores)

    def scores(
        self,
        xyz: Float32[np.ndarray, "N 3"],
        rgb: UInt8[np.ndarray, "N 3"] | None,
        fused_label: UInt8[np.ndarray, "N"] | None = None,
        fused_confidence: Float32[np.ndarray, "N"] | None = None,
    ) -> Float[Tensor, "N C"]:
        """Class scores (logits) of every point of an upright cloud: the 3D class activation map.

        The network processes all points at once, for any number of points.
        """
        problem = self.color_problem(rgb)
        if problem and not self._warned:
            self._warned = True
            log.warning(problem)
        points, colors, label, confidence = (
            None if column is None else torch.from_numpy(np.ascontiguousarray(column)).to(self.device)[None]
            for column in (xyz, rgb, fused_label, fused_confidence)
        )
        colors = None if colors is None else colors.float() / 255
        fused = None if label is None else FusedLabels.of(label, confidence, len(self.labels))
        with self.autocast():
            return self.network(points, input_features(points, colors, self.config.inputs, fused))[1][0].float()


def shipped_weights(kind: str) -> Path:
    """The path of the checkpoint of the network ``kind`` that ships with the package."""
    return checkpoint.file_of(SHIPPED, kind)


def _sample(count: int, size: int) -> Int64[np.ndarray, "M"]:
    """At most ``size`` sorted random indices of ``count`` points; the same in each call: equal clouds, equal labels."""
    return np.sort(np.random.default_rng(0).choice(count, size, replace=False)) if count > size else np.arange(count)


def _decide(
    scores: Float[Tensor, "N C"], present: Float32[np.ndarray, "C"] | None, temperature: float
) -> tuple[UInt8[np.ndarray, "N"], Float32[np.ndarray, "N"]]:
    """The class with the largest logit, among those of ``present`` if given, and its probability.

    The probability is the softmax of logits / temperature over the same classes (Guo et al., On calibration of modern
    neural networks, 2017). The temperature changes no label.
    """
    if present is None:
        best, label = scores.max(dim=1)
    else:
        allowed = torch.from_numpy(present).to(scores.device)
        label = cam.seed_labels(scores, allowed)
        best = scores.gather(1, label[:, None])[:, 0]
        scores = scores[:, allowed > 0.5]
    others = ((scores - best[:, None]) / temperature).exp_().sum(dim=1)  # the softmax, divided by its largest term
    return label.to(torch.uint8).cpu().numpy(), others.reciprocal_().cpu().numpy()


def _turned(images: Float[Tensor, "B C H W"], turns: int) -> Float[Tensor, "B C h w"]:
    """The images or maps after quarter turns to the left, channels last in memory; copied only if they are not so."""
    turned = torch.rot90(images, turns, (2, 3)) if turns % 4 else images  # torch copies even without a turn
    return turned.contiguous(memory_format=torch.channels_last)


def _fitted(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Rows and columns of the network's input for an image of ``size``; 0: those of the image."""
    if long_side in (0, max(size)):
        return size
    scale = long_side / max(size)
    height, width = (max(1, round(pixels * scale)) for pixels in size)
    return height, width


def _resize(images: Float[Tensor, "B 3 H W"], size: tuple[int, int]) -> Float[Tensor, "B 3 h w"]:
    if tuple(images.shape[2:]) == size:
        return images
    smaller = max(size) < max(images.shape[2:])
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=smaller)
