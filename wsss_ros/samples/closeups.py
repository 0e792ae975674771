"""Training samples from close-ups of single objects (``rooms.closeups``)."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from wsss_ros.labels import LabelSpace, scannet20
from wsss_ros.samples import augment
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.samples import ImageBatch, Sample, stacked
from wsss_ros.types import BadInput


class CloseupSamples:
    """Pictures of one object each, from files of ``rooms.closeups``.

    Raises BadInput for a missing or broken file, and for other classes than those of ``scannet20``.
    """

    def __init__(self, files: Sequence[Path], labels: LabelSpace, settings: ImageAugment):
        if labels.names != scannet20().names:
            raise BadInput(f"close-ups show the classes of ScanNet's 20, not those of '{labels.name}'; leave them out")
        images, tags, self.names = [], [], []
        for file in files:
            try:
                with np.load(file) as stored:
                    images.append(stored["images"])
                    tags.append(stored["tags"])
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise BadInput(f"{file}: not readable as close-ups ({error}); delete it and it is rebuilt") from error
            self.names += [f"{file.stem}#{k}" for k in range(len(tags[-1]))]
        self.images = torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2).contiguous()
        self.tags = torch.from_numpy(np.concatenate(tags)).long()
        self.settings, self.classes = settings, len(labels)

    def __len__(self) -> int:
        return len(self.tags)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """An augmented picture, and its tag as a multi-hot row; all other classes are known to be absent."""
        image, settings = self.images[index], self.settings
        view = augment.random_view(rng, image.shape[2], image.shape[1], settings.long_side, settings.crop)
        crop = augment.apply_views(image[None], [view], settings.crop)
        color = torch.from_numpy(augment.random_color_matrix(rng, *settings.jitter))
        tags = torch.zeros(self.classes)
        tags[self.tags[index]] = 1
        image = augment.apply_color_matrices(crop, color[None])[0]
        return {"images": image, "image_tags": tags, "image_known": torch.ones(self.classes)}

    def collate(self, samples: Sequence[Sample]) -> ImageBatch:
        """The batch of the pictures of a step."""
        return ImageBatch(**stacked(samples))
