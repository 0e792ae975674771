"""The gate decides which networks of a candidate replace those in use: a pure function of held-out scores.

Image network and cloud network work independently, so each is judged for itself: by the tags of held-out images or
clouds, by the dense labels of simulated ones, and by its consistency. The same images and clouds are scored before and
after, so the difference of each pair counts, and a bootstrap over scenes and images says what noise alone would do
(``noise.change``).

Agreement of the two networks takes no part: with a weak partner it falls when a network gets better. Consistency of
clouds takes no part where labels of clouds are known: it falls, little but surely, when a network learns rarer classes,
as there are more borders, and rises when a network collapses. Without labels nothing else shows where things are.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from wsss_ros.online.noise import Change, Values, change
from wsss_ros.online.records import SETS, Decision
from wsss_ros.online.scores import MEASURES, network_of
from wsss_ros.types import KINDS

ALL = "all"  # the held-out scenes of all sets together
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Limits:
    """What the gate refuses.

    Attributes:
        tolerance: A larger fall of a score of tags refuses, whatever the noise. Consistency has no such limit: an
            untrained network may be more consistent than a good one.
        significance: A fall that noise alone explains with a lower probability refuses, too. Not of labels.
        label_tolerance: A larger fall of the mean IoU on simulated scenes refuses. Smaller ones do not, however sure
            they are: a robot learns its own place, and simulated scenes are of others.
    """

    tolerance: float
    significance: float
    label_tolerance: float = 0.02


@dataclass(frozen=True)
class Verdict:
    """Whether a network is promoted, and why, with the numbers; ``judged_by`` names the measures, as ``MEASURES``."""

    promoted: bool
    why: str
    judged_by: tuple[str, ...] = ()


def judge(
    before: dict[str, dict],
    after: dict[str, dict],
    limits: Limits,
    best: dict[str, dict] | None = None,
    unchanged: Collection[str] = (),
) -> dict[str, Verdict]:
    """Return the verdict on each network, by kind.

    Scores are as in ``Decision``; higher is better. On no set, and not on all sets together, may a score of the network
    fall beyond noise, be lost, or be NaN, nor one of tags or labels fall by more than its tolerance. A measure
    without values before and after does not count: nothing of it was held out. But each network needs a tag score on
    some set. Networks that are ``unchanged`` are not promoted: they learned nothing.

    Small falls may not add up: the same holds for falls below the ``best`` scores so far on the same scenes, with half
    the significance, as the best ones were chosen because they are high.
    """
    return {
        kind: Verdict(False, "nothing learned: its weights are those in use")
        if kind in unchanged
        else _judge_network(kind, before, after, limits, best or {})
        for kind in KINDS
    }


def _judge_network(kind: str, before: dict, after: dict, limits: Limits, best: dict) -> Verdict:
    judging = measures_of(kind, before, after)
    return replace(_verdict(kind, judging, before, after, limits, best), judged_by=judging)


def measures_of(kind: str, before: dict[str, dict], after: dict[str, dict]) -> tuple[str, ...]:
    """The measures that judge the network of this kind: those with values before or after.

    Where labels of clouds are known, consistency of clouds is not one of them.
    """
    every = [scores.get(name, {}).get("values", {}) for scores in (before, after) for name in SETS]
    scored = [each for each in MEASURES if network_of(each) == kind and any(values.get(each) for values in every)]
    return tuple(each for each in scored if not (each == "cloud_consistency" and "cloud_labels" in scored))


def _verdict(kind: str, judging: Sequence[str], before: dict, after: dict, limits: Limits, best: dict) -> Verdict:
    changes = {(measure, name): found for measure in judging for name, found in _changes(measure, before, after)}
    texts = {at: _text(*at, found) for at, found in changes.items()}
    if faults := [texts[at] for at, found in changes.items() if _refused(at[0], found, limits)]:
        return Verdict(False, f"worse than before: {'; '.join(faults)}")
    if f"{kind}_tags" not in judging:
        ask = "tag images, and scenes, of the next ones"
        return Verdict(False, f"no {MEASURES[f'{kind}_tags']} could be scored; {ask}")
    if sunk := list(_sunk(judging, best, after, limits)):
        return Verdict(False, f"worse than the best so far: {'; '.join(sunk)}")
    missing = [name for name in ("new", "memory") if not any(name == found for _, found in changes)]
    note = f"; nothing held out of {' and '.join(missing)} scenes" if missing else ""
    return Verdict(True, f"no held-out score fell beyond noise: {'; '.join(texts.values())}{note}")


def _changes(measure: str, before: dict, after: dict) -> Iterator[tuple[str, Change]]:
    """The changes of a measure on each set that has values, and on all of them together."""
    old, new = ({name: _values(scores, name, measure) for name in SETS} for scores in (before, after))
    scored = [name for name in SETS if old[name] or new[name]]
    for name in scored:
        yield name, change(old[name], new[name])
    if len(scored) > 1:
        yield ALL, change(_joined(old), _joined(new))


def _joined(sets: dict[str, Values]) -> Values:
    """The values of all sets together."""
    return {(name, scene): own for name, values in sets.items() for scene, own in values.items()}


def _values(scores: dict, name: str, measure: str) -> Values:
    return scores.get(name, {}).get("values", {}).get(measure, {})


def _refused(measure: str, found: Change, limits: Limits) -> bool:
    if math.isnan(found.fall):
        return True
    if measure.endswith("_labels"):
        return found.fall > limits.label_tolerance + _ROUNDING
    most = math.inf if measure.endswith("_consistency") else limits.tolerance + _ROUNDING
    return found.fall > most or found.fall_chance < limits.significance


def best_so_far(held_out: dict[str, list[str]], past: Sequence[Decision]) -> dict[str, dict]:
    """Return the best scores of networks that were in use, by set and measure, on the same held-out scenes.

    For each measure its mean and, as in ``Decision``, its values; earlier records have the mean only.
    """
    best: dict[str, dict] = {}
    for decision in past:
        for name, scenes in held_out.items():
            if scenes and decision.more.get("held_out", {}).get(name) == scenes:
                for measure in MEASURES:
                    for scores in (decision.before, decision.after if decision.took(network_of(measure)) else {}):
                        _keep_better(best.setdefault(name, {}), scores.get(name, {}), measure)
    return {name: scores for name, scores in best.items() if scores}


def _keep_better(best: dict, scores: dict, measure: str) -> None:
    """Put a measure of ``scores`` into ``best`` if it is higher."""
    value = scores.get(measure)
    if value is not None and value > best.get(measure, -math.inf):
        best[measure] = value
        best.setdefault("values", {})[measure] = scores.get("values", {}).get(measure, {})


def _sunk(judging: Sequence[str], best: dict[str, dict], after: dict[str, dict], limits: Limits) -> Iterator[str]:
    stricter = replace(limits, significance=limits.significance / 2)
    for name, scores in best.items():
        for measure in judging:
            now = after.get(name, {}).get(measure)
            if measure in scores and now is not None:
                old, new = (_values(each, name, measure) for each in (best, after))
                found = change(old, new) if old else Change(scores[measure], now, 1.0)
                if _refused(measure, found, stricter):
                    yield _text(measure, name, found)


def _text(measure: str, name: str, found: Change) -> str:
    numbers = " to ".join(f"{value:.3f}" for value in (found.before, found.after))
    where = "all held-out scenes" if name == ALL else name
    chance = f" (by chance: {100 * found.fall_chance:.0f} %)" if found.fall > 0 else ""
    return f"{MEASURES[measure]} on {where} {numbers}{chance}"
