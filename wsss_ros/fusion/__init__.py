"""Labels of many posed images voted onto one cloud, as in 2D3DNet (Genova et al., 3DV 2021)."""

from wsss_ros.fusion.fusing import Fused, Fusion, fuse
from wsss_ros.fusion.reading import labels_in_frame
from wsss_ros.fusion.settings import FEATURES, PRESETS, PSEUDO_TRUTH, FusionSettings, settings_named
from wsss_ros.fusion.votes import entropy, share_of_winner, vote_weight, winners

__all__ = [
    "FEATURES",
    "PRESETS",
    "PSEUDO_TRUTH",
    "Fused",
    "Fusion",
    "FusionSettings",
    "entropy",
    "fuse",
    "labels_in_frame",
    "settings_named",
    "share_of_winner",
    "vote_weight",
    "winners",
]
