"""Labels of many posed images voted onto one cloud, as in 2D3DNet (Genova et al., 3DV 2021)."""

from wsss_ros.fusion.fusing import Fused, Fusion, fuse, nearest_labels
from wsss_ros.fusion.reading import Observed, labels_in_frame, observed
from wsss_ros.fusion.settings import FEATURES, PRESETS, PSEUDO_TRUTH, FusionSettings, settings_named
from wsss_ros.fusion.votes import entropy, share_of_winner, vote_weight, winners

__all__ = [
    "FEATURES",
    "PRESETS",
    "PSEUDO_TRUTH",
    "Fused",
    "Fusion",
    "FusionSettings",
    "Observed",
    "entropy",
    "fuse",
    "nearest_labels",
    "observed",
    "labels_in_frame",
    "settings_named",
    "share_of_winner",
    "vote_weight",
    "winners",
]
