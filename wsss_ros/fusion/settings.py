"""How labels of images are voted onto points: the settings of 2D3DNet for its two fusions."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from wsss_ros.config import Config, load
from wsss_ros.geometry.surfels import SurfelSettings
from wsss_ros.types import BadInput


class FusionSettings(Config):
    """Which frames vote for a point, and with which weight. The defaults make the input features of 2D3DNet."""

    max_dt_s: float = Field(
        10.0, gt=0, description="A frame votes for points whose time differs by less than this, seconds."
    )
    max_distance_m: float = Field(400.0, gt=0, description="A camera votes for points nearer than this, metres.")
    visibility: Literal["surfels", "depth"] = Field(
        "surfels",
        description="How it is found that a camera sees a point: from a depth image drawn from the surfels of the "
        "cloud, or from the depth image of the frame.",
    )
    dilation: float = Field(
        2.0,
        ge=0,
        le=100,
        description="Surfels are drawn this many times larger, so that points near the edge of something in front of "
        "them get no vote. With the depth of the frames: that many pixels from such an edge.",
    )
    depth_tolerance: float = Field(
        0.05, ge=0, le=1, description="A point is seen if its depth differs by at most this share of the depth there."
    )
    surfel_max_dt_s: float = Field(
        20.0, gt=0, description="Points whose time differs more are not drawn into the depth image, seconds."
    )
    surfels: SurfelSettings = Field(SurfelSettings(), description="Neighbourhoods from which surfels are computed.")
    fill: Literal["nearest", "none"] = Field(
        "nearest", description="Label of a point without votes: that of the nearest point with votes, or unlabelled."
    )


# The paper's, for a car with LiDAR: many votes for features, few and sure ones to learn from.
FEATURES = FusionSettings()
PSEUDO_TRUTH = FusionSettings(max_dt_s=0.1, dilation=8.0, depth_tolerance=0.01, fill="none")
# The same for rooms: points are about 2 cm apart, not 8, and a camera looks 4 m far, not 20.
_ROOM = {"max_distance_m": 8.0, "surfels": SurfelSettings(radius_m=0.08, max_radius_m=0.64)}
PRESETS: dict[str, FusionSettings] = {
    "features": FEATURES,
    "pseudo_truth": PSEUDO_TRUTH,
    "room_features": FEATURES.model_copy(update=_ROOM),
    "room_pseudo_truth": PSEUDO_TRUTH.model_copy(update=_ROOM),
}


def settings_named(name: str) -> FusionSettings:
    """The settings of a preset, or of a YAML file. Raises BadInput for another name and for a broken file."""
    if name in PRESETS:
        return PRESETS[name]
    if Path(name).suffix in (".yaml", ".yml"):
        return load(FusionSettings, name)
    raise BadInput(f"'{name}' is neither one of {', '.join(PRESETS)} nor a YAML file with settings of a fusion")
