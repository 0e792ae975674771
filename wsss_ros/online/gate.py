"""The gate decides whether a candidate may replace the weights in use: a pure function of held-out scores."""

import math
from collections.abc import Sequence

from wsss_ros.online.records import SETS, Decision

MEASURES = {"image_tags": "tags from images", "cloud_tags": "tags from clouds", "agreement": "agreement"}
_ROUNDING = 1e-9


def judge(
    before: dict[str, dict], after: dict[str, dict], tolerance: float, best: dict[str, dict] | None = None
) -> tuple[bool, str]:
    """Return whether the candidate is promoted, and why, with the numbers.

    Scores are as in ``Decision``; higher is better. On no set may a score fall by more than ``tolerance``, be lost, or
    be NaN. A score that is None before and after does not count: nothing of it was held out. But each network needs
    a tag score on some set. Small falls may not add up: no score may be more than twice the tolerance below the
    ``best`` one so far on the same scenes.
    """
    faults: list[str] = []
    fine: list[str] = []
    measured = set()
    for name in SETS:
        for measure, title in MEASURES.items():
            old, new = (scores.get(name, {}).get(measure) for scores in (before, after))
            if old is None and new is None:
                continue
            measured.add(measure)
            text = f"{title} on {name} {_number(old)} to {_number(new)}"
            (fine if _holds(old, new, tolerance) else faults).append(text)
    if faults:
        return False, f"worse than before by more than {tolerance:g}: {'; '.join(faults)}"
    if not fine:
        return False, "nothing held out could be scored; the old weights stay"
    if sunk := _sunk(best or {}, after, 2 * tolerance):
        return False, f"worse than the best so far by more than {2 * tolerance:g}: {'; '.join(sunk)}"
    if unseen := [title for measure, title in MEASURES.items() if measure not in measured | {"agreement"}]:
        return False, f"no {' and no '.join(unseen)} could be scored; tag images, and scenes, of the next ones"
    missing = [name for name in ("new", "memory") if not any(f"on {name} " in text for text in fine)]
    note = f"; nothing held out of {' and '.join(missing)} scenes" if missing else ""
    return True, f"no held-out score fell by more than {tolerance:g}: {'; '.join(fine)}{note}"


def best_so_far(held_out: dict[str, list[str]], past: Sequence[Decision]) -> dict[str, dict]:
    """Return the best scores of weights that were in use, by set and measure, on the same held-out scenes."""
    best: dict[str, dict] = {}
    for decision in past:
        for name, scenes in held_out.items():
            if scenes and decision.more.get("held_out", {}).get(name) == scenes:
                for scores in (decision.before, decision.after if decision.promoted else {}):
                    for measure, value in scores.get(name, {}).items():
                        if measure in MEASURES and value is not None:
                            own = best.setdefault(name, {})
                            own[measure] = max(value, own.get(measure, value))
    return best


def _sunk(best: dict[str, dict], after: dict[str, dict], most: float) -> list[str]:
    return [
        f"{MEASURES[measure]} on {name} {_number(high)} to {_number(after[name][measure])}"
        for name, scores in best.items()
        for measure, high in scores.items()
        if after.get(name, {}).get(measure) is not None and not _holds(high, after[name][measure], most)
    ]


def _holds(old: float | None, new: float | None, tolerance: float) -> bool:
    if old is None or new is None or math.isnan(old) or math.isnan(new):
        return False
    return old - new <= tolerance + _ROUNDING


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3f}"
