"""What a training run shows while it goes on: progress, and curves and CAM pictures for TensorBoard."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from wsss_ros.cam import seed_labels
from wsss_ros.evaluation import pictures
from wsss_ros.labels import LabelSpace
from wsss_ros.networks.classifier import input_features, normalise_images, upsample
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.samples import Batch, CloudBatch, ImageBatch

EVERY = 10  # steps between two points of a curve
_SHOWN = 4  # samples whose CAMs are drawn
_CLASSES = 4  # classes of one image whose CAMs are drawn


class TrainingLog:
    """TensorBoard files in ``folder``; a run that goes on after ``step`` steps takes back what came after these."""

    def __init__(self, folder: Path, labels: LabelSpace, step: int):
        self.labels = labels
        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add_step(self, phase: str, step: int, terms: dict[str, float], rates: dict[str, float]) -> None:
        """Losses and learning rates of one step."""
        for name, value in terms.items():
            self.writer.add_scalar(f"{phase}/{name}", value, step)
        for kind, rate in rates.items():
            self.writer.add_scalar(f"learning_rate/{kind}", rate, step)

    def add_scores(self, scores: dict[str, dict | None], step: int) -> None:
        """Mean IoU on val, by kind of network."""
        for kind, score in scores.items():
            if score is not None and score["miou"] is not None:
                self.writer.add_scalar(f"val_miou/{kind}", score["miou"], step)

    def add_pictures(
        self, networks: dict[str, nn.Module], inputs: Sequence[str], shown: list[Batch], step: int
    ) -> None:
        """Class activation maps of the ``shown`` samples, a picture each."""
        modes = [(module, module.training) for network in networks.values() for module in network.modules()]
        for network in networks.values():
            network.eval()
        with torch.no_grad():
            for index, batch in enumerate(shown):
                if "image" in networks and isinstance(batch, ImageBatch):
                    self._add(f"image/{index}", image_cams(networks["image"], batch, self.labels), step)
                if "cloud" in networks and isinstance(batch, CloudBatch) and index == 0:
                    self._add(f"cloud/{index}", cloud_cams(networks["cloud"], inputs, batch, self.labels), step)
        for module, training in modes:  # one by one: norms may be frozen in a network that trains
            module.training = training

    def _add(self, name: str, picture, step: int) -> None:
        self.writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left and end."""
        self.writer.close()


def fixed_batches(samples: Samples, seed: int) -> list[Batch]:
    """A few samples, evenly spread and the same each time, each its own batch; none where batches are not ``Batch``."""
    chosen = np.linspace(0, len(samples) - 1, min(_SHOWN, len(samples))).astype(int)
    drawn = (samples.sample(int(index), np.random.default_rng([seed, int(index)])) for index in chosen)
    batches = [samples.collate([sample]) for sample in drawn]
    return [batch for batch in batches if isinstance(batch, Batch)]


def image_cams(network: nn.Module, batch: ImageBatch, labels: LabelSpace):
    """The image, the CAM of each tagged class (sigmoid of its score) and the best tagged class of every pixel."""
    images = batch.images.to(next(network.parameters()).device)
    scores = upsample(network(normalise_images(images))[1].float(), images.shape[2:])[0].cpu()
    tags = batch.image_tags[0]
    rgb = (images[0].permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    named = torch.nonzero(tags > 0.5)[:_CLASSES, 0].tolist()
    maps = [pictures.blend(rgb, pictures.heat(torch.sigmoid(scores[index]).numpy()), 0.6) for index in named]
    best = _best(scores.flatten(1).T, tags, labels).reshape(rgb.shape)
    titles = ["image", *(labels.names[index] for index in named), "best tag"]
    return pictures.sheet(titles, [[rgb, *maps, pictures.blend(rgb, best, 0.7)]])


def cloud_cams(network: nn.Module, inputs: Sequence[str], batch: CloudBatch, labels: LabelSpace):
    """The cloud from above and the best tagged class of every point."""
    device = next(network.parameters()).device
    xyz, rgb = batch.xyz.to(device), None if batch.rgb is None else batch.rgb.to(device)
    scores = network(xyz, input_features(xyz, rgb, tuple(inputs)))[1][0].float().cpu()
    points = batch.xyz[0].numpy()
    own = np.full(points.shape, 160, np.uint8) if rgb is None else (batch.rgb[0].numpy() * 255).astype(np.uint8)
    best = _best(scores, batch.cloud_tags[0], labels)
    views = [pictures.render_cloud(points, colors, size=(400, 300)) for colors in (own, best)]
    return pictures.sheet(["cloud", "best tag"], [views])


def _best(scores: Float[Tensor, "N C"], tags: Float[Tensor, "C"], labels: LabelSpace) -> UInt8[np.ndarray, "N 3"]:
    return np.array(labels.colors, np.uint8)[seed_labels(scores, tags).numpy()]
