"""The gate: whether a candidate may replace the weights in use. A pure function of held-out scores."""

import math

from wsss_ros.online.records import SETS

MEASURES = {"image_tags": "tags from images", "cloud_tags": "tags from clouds", "agreement": "agreement"}
_ROUNDING = 1e-9


def judge(before: dict[str, dict], after: dict[str, dict], tolerance: float) -> tuple[bool, str]:
    """Promoted or not, and why, with the numbers. Scores are as in ``Decision``, higher is better.

    No score may fall by more than ``tolerance`` on any set, be lost, or be NaN. What could not be measured before
    (None: nothing of it was held out) is passed over; but the tag score of each network must be there on some set.
    """
    faults, fine, measured = [], [], set()
    for name in SETS:
        for measure, words in MEASURES.items():
            old, new = (scores.get(name, {}).get(measure) for scores in (before, after))
            if old is None and new is None:
                continue
            measured.add(measure)
            told = f"{words} on {name} {_number(old)} to {_number(new)}"
            (fine if _holds(old, new, tolerance) else faults).append(told)
    if faults:
        return False, f"worse than before by more than {tolerance:g}: {'; '.join(faults)}"
    if not fine:
        return False, "nothing that was held out could be scored, so nothing speaks for the new weights"
    if unseen := [words for measure, words in MEASURES.items() if measure not in measured | {"agreement"}]:
        return False, f"no {' and no '.join(unseen)} could be scored; tag images, and scenes, of the next ones"
    passed_over = [name for name in ("new", "memory") if not any(f"on {name} " in told for told in fine)]
    missing = f"; nothing held out of {' and '.join(passed_over)} scenes" if passed_over else ""
    return True, f"no held-out score fell by more than {tolerance:g}: {'; '.join(fine)}{missing}"


def _holds(old: float | None, new: float | None, tolerance: float) -> bool:
    if old is None or new is None or math.isnan(old) or math.isnan(new):
        return False
    return old - new <= tolerance + _ROUNDING


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3f}"
