"""The TensorBoard log of a training run: curves of losses, learning rates and scores, and pictures of CAMs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from wsss_ros.cam import seed_labels
from wsss_ros.evaluation import pictures
from wsss_ros.files import not_written, writable_folder
from wsss_ros.labels import LabelSpace
from wsss_ros.networks.classifier import normalise_images, upsample
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.samples import Batch, CloudBatch, ImageBatch

log = logging.getLogger("wsss_ros")

EVERY = 10  # steps between two points of a curve
_SHOWN = 4  # samples whose CAMs are drawn
_CLASSES = 4  # classes of one image whose CAMs are drawn


class TrainingLog:
    """TensorBoard files in ``folder``. A run that resumes after ``step`` steps hides the entries of later steps."""

    def __init__(self, folder: Path, labels: LabelSpace, step: int):
        self.labels = labels
        self.writer = SummaryWriter(str(writable_folder(folder)), purge_step=step + 1)
        _keep_going(self.writer, folder)

    def add_step(self, phase: str, step: int, terms: dict[str, float], rates: dict[str, float]) -> None:
        """Add the losses and learning rates of one step."""
        for name, value in terms.items():
            self.writer.add_scalar(f"{phase}/{name}", value, step)
        for kind, rate in rates.items():
            self.writer.add_scalar(f"learning_rate/{kind}", rate, step)

    def add_scores(self, scores: dict[str, dict | None], step: int) -> None:
        """Add the mean IoU on the validation scenes, by kind of network."""
        for kind, score in scores.items():
            if score is not None and score["miou"] is not None:
                self.writer.add_scalar(f"val_miou/{kind}", score["miou"], step)

    def add_pictures(
        self, networks: dict[str, nn.Module], inputs: Sequence[str], shown: list[Batch], step: int
    ) -> None:
        """Add a picture of the class activation maps of each sample in ``shown``; of clouds, the first one only."""
        modes = [(module, module.training) for network in networks.values() for module in network.modules()]
        for network in networks.values():
            network.eval()
        with torch.no_grad():
            for index, batch in enumerate(shown):
                if "image" in networks and isinstance(batch, ImageBatch):
                    self._add(f"image/{index}", image_cams(networks["image"], batch, self.labels), step)
                if "cloud" in networks and isinstance(batch, CloudBatch) and index == 0:
                    self._add(f"cloud/{index}", cloud_cams(networks["cloud"], inputs, batch, self.labels), step)
        for module, training in modes:  # module by module: a network that trains may have frozen norms
            module.training = training

    def _add(self, name: str, picture, step: int) -> None:
        self.writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        """Write the pending entries and close the files."""
        self.writer.close()


class _Tolerant:
    """A writer of TensorBoard that reports the first error of the disk and then does nothing: the run goes on."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self._writer, self._folder = writer, folder

    def write(self, data: bytes) -> None:
        self._call("write", data)

    def flush(self) -> None:
        self._call("flush")

    def close(self) -> None:
        self._call("close")

    def _call(self, name: str, *arguments: bytes) -> None:
        if self._writer is None:
            return
        try:
            getattr(self._writer, name)(*arguments)
        except OSError as error:
            self._writer = None
            log.warning("the curves of TensorBoard end here, the run goes on: %s", not_written(self._folder, error))


def _keep_going(writer: SummaryWriter, folder: Path) -> None:
    """Let errors of the disk not end TensorBoard's thread, which would print a traceback and end the run."""
    asynchronous = writer._get_file_writer().event_writer._async_writer
    asynchronous._writer = asynchronous._worker._record_writer = _Tolerant(asynchronous._writer, folder)


def fixed_batches(samples: Samples, seed: int) -> list[Batch]:
    """A few evenly spread samples, each in a batch of its own; every call with one ``seed`` returns the same.

    Returns an empty list for a method whose batches are not of type ``Batch``.
    """
    chosen = np.linspace(0, len(samples) - 1, min(_SHOWN, len(samples))).astype(int)
    drawn = (samples.sample(int(index), np.random.default_rng([seed, int(index)])) for index in chosen)
    batches = [samples.collate([sample]) for sample in drawn]
    return [batch for batch in batches if isinstance(batch, Batch)]


def image_cams(network: nn.Module, batch: ImageBatch, labels: LabelSpace):
    """A picture of a batch's first image, of the CAM of each tagged class, and of the best tagged class of each pixel.

    The CAM of a class is the sigmoid of its scores.
    """
    images = batch.images.to(next(network.parameters()).device)
    scores = upsample(network(normalise_images(images))[1].float(), images.shape[2:])[0].cpu()
    tags = batch.pixel_tags()[0].cpu()
    rgb = (images[0].permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    named = torch.nonzero(tags > 0.5)[:_CLASSES, 0].tolist()
    maps = [pictures.blend(rgb, pictures.heat(torch.sigmoid(scores[index]).numpy()), 0.6) for index in named]
    best = _best(scores.flatten(1).T, tags, labels).reshape(rgb.shape)
    titles = ["image", *(labels.names[index] for index in named), "best tag"]
    return pictures.sheet(titles, [[rgb, *maps, pictures.blend(rgb, best, 0.7)]])


def cloud_cams(network: nn.Module, inputs: Sequence[str], batch: CloudBatch, labels: LabelSpace):
    """A picture of a batch's first cloud from above: its colours, and the tagged class with the largest score."""
    device = next(network.parameters()).device
    there = cast(CloudBatch, batch.to(device))
    scores = network(there.xyz, there.features(tuple(inputs), len(labels)))[1][0].float().cpu()
    points = batch.xyz[0].numpy()
    own = None if batch.rgb is None or batch.rgb[0].isnan().any() else (batch.rgb[0].numpy() * 255).astype(np.uint8)
    best = _best(scores, batch.cloud_tags[0], labels)
    views = [pictures.render_cloud(points, colors, size=(400, 300)) for colors in (own, best)]
    return pictures.sheet(["cloud", "best tag"], [views])


def _best(scores: Float[Tensor, "N C"], tags: Float[Tensor, "C"], labels: LabelSpace) -> UInt8[np.ndarray, "N 3"]:
    """The colour of the tagged class with the largest score, for each row."""
    return np.array(labels.colors, np.uint8)[seed_labels(scores, tags).numpy()]
