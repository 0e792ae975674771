"""Fused labels as the input of a cloud network, and several fusions of the same frames (2D3DNet, section 3.2)."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.fusion.fusing import Fused, Fusion
from wsss_ros.fusion.settings import PRESETS, FusionSettings
from wsss_ros.fusion.votes import share_of_winner
from wsss_ros.types import Frame

# Settings, or the name of some in ``PRESETS``.
FusionChoice = Literal["features", "pseudo_truth", "room_features", "room_pseudo_truth"] | FusionSettings


class FusedInput(Config):
    """How labels of images become the inputs fused_label and fused_confidence of a cloud network."""

    settings: FusionChoice = Field("features", description="Settings of the fusion, or the name of some.")
    preferred: FusionChoice | None = Field(
        None,
        description="A second fusion, whose labels replace those of the first where it has any. With that of the "
        "labels to learn from, input and labels agree there: what 2D3DNet avoids (its Table 6).",
    )

    @property
    def fusions(self) -> tuple[FusionSettings, ...]:
        """The settings of all fusions, in the order that ``joined`` expects."""
        return tuple(settings_of(each) for each in (self.settings, self.preferred) if each is not None)


def settings_of(choice: FusionChoice) -> FusionSettings:
    """The settings, also by name."""
    return choice if isinstance(choice, FusionSettings) else PRESETS[choice]


def fuse_together(
    points: Float[np.ndarray, "N 3"],
    labelled: Iterable[tuple[Frame, UInt8[np.ndarray, "H W"]]],
    settings: Sequence[FusionSettings],
    classes: int,
    stamps_ns: Int64[np.ndarray, "N"] | None = None,
    up: Sequence[float] = (0.0, 0.0, 1.0),
) -> list[Fused]:
    """The fusions with all ``settings`` of frames and their labels, which are read once.

    Other arguments and exceptions are those of ``fuse``.
    """
    fusions = [Fusion(points, each, classes, stamps_ns, None, up) for each in settings]
    for frame, labels in labelled:
        for fusion in fusions:
            fusion.add(frame, labels)
    return [fusion.result() for fusion in fusions]


def joined(fused: Sequence[Fused]) -> tuple[UInt8[np.ndarray, "N"], Float32[np.ndarray, "N"]]:
    """The label and its share of the votes of each point: of the last fusion that has votes for it, else the first.

    Args:
        fused: the fusions of ``FusedInput.fusions``.
    """
    label, share = fused[0].label.copy(), share_of_winner(fused[0].votes)
    for preferred in fused[1:]:
        voted = preferred.votes.any(axis=1)
        label[voted], share[voted] = preferred.label[voted], share_of_winner(preferred.votes)[voted]
    return label, share
