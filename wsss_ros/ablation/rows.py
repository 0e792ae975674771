"""The rows of the joint paper's Table 2, and what each of them trains in phase two."""

from wsss_ros.methods.joint import JointPhase
from wsss_ros.methods.method import PairedPhase
from wsss_ros.methods.supervised import SupervisedPhase

# How each row differs from the full method. All take the same steps on the same samples from the same weights.
ROWS: dict[str, dict] = {
    "cls": {"image_to_point": 0.0, "point_to_image": 0.0},
    "3d_to_2d_plain": {"image_to_point": 0.0, "confidence": "none"},
    "3d_to_2d": {"image_to_point": 0.0},
    "2d_to_3d_plain": {"point_to_image": 0.0, "confidence": "none"},
    "2d_to_3d": {"point_to_image": 0.0},
    "both": {},
    "supervised": {"method": "supervised"},  # dense labels: the ceiling
}


def phase_of(row: str, joint: JointPhase) -> JointPhase | SupervisedPhase:
    """Return the second phase of a row: the joint phase without some of its parts, or supervised steps instead."""
    change = ROWS[row]
    if change.get("method") != "supervised":
        return joint.model_copy(update=change)
    shared = {name: getattr(joint, name) for name in PairedPhase.model_fields}
    return SupervisedPhase(method="supervised", **shared)
