"""The previous rule of the gate, which judged both networks together. Only the trial uses it, for comparison."""

from wsss_ros.online.records import SETS

_MEASURES = ("image_tags", "cloud_tags", "agreement")
_ROUNDING = 1e-9


def promotes_both(before: dict[str, dict], after: dict[str, dict], tolerance: float = 0.03) -> bool:
    """Return whether both networks of the candidate are promoted.

    Scores are as in ``Decision``. On no set may the mean score of the tags of images, of the tags of clouds, or the
    agreement of both networks fall by more than ``tolerance``, be lost, or not be finite.
    """
    pairs = [(before[name][measure], after[name][measure]) for name in SETS if name in before for measure in _MEASURES]
    measured = [(old, new) for old, new in pairs if (old, new) != (None, None)]
    return bool(measured) and all(
        old is not None and new is not None and old - new <= tolerance + _ROUNDING for old, new in measured
    )
