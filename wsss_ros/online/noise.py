"""How large a change of paired scores is, and how likely noise alone explains a fall: a bootstrap over scenes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Values = Mapping[Any, Sequence[float | None]]  # by scene, one for each image or cloud; None: not finite
_DRAWS = 2000
_SEED = 0


@dataclass(frozen=True)
class Change:
    """The change of a mean score.

    Attributes:
        before: The mean before.
        after: The mean after; NaN if a value was lost or is not finite.
        fall_chance: How likely noise alone gives such a fall, 0..1.
    """

    before: float
    after: float
    fall_chance: float

    @property
    def fall(self) -> float:
        """How much lower the mean is now."""
        return self.before - self.after


def change(before: Values, after: Values) -> Change:
    """Compare the scores of two networks on the same images or clouds.

    The scenes, and within each the images, are drawn with replacement; ``fall_chance`` is the share of such draws in
    which the mean difference is not a fall. N values that all fall by chance have a probability of 0.5^N, so it is
    at least that: one or two clouds show nothing. The draws are the same each time.
    """
    old = {name: np.array(own, float) for name, own in before.items()}
    new = {name: np.array(after.get(name, ()), float) for name in old}
    lost = not old or any(old[name].shape != new[name].shape for name in old)
    mean_before, mean_after = _mean(old), float("nan") if lost else _mean(new)
    if not np.isfinite([mean_before, mean_after]).all():
        return Change(mean_before, float("nan"), 0.0)
    return Change(mean_before, mean_after, _fall_chance([new[name] - old[name] for name in old]))


def _fall_chance(differences: Sequence[np.ndarray]) -> float:
    every = np.concatenate(list(differences))
    if (every >= 0).all() or (every < 0).all():  # and so is every draw
        return 1.0 if every[0] >= 0 else 0.5 ** len(every)
    draws = _draws(differences, np.random.default_rng(_SEED))
    return max(float((draws >= 0).mean()), 0.5 ** len(every))


def _mean(values: Mapping[Any, np.ndarray]) -> float:
    return float(np.concatenate(list(values.values())).mean()) if values else float("nan")


def _draws(differences: Sequence[np.ndarray], rng: np.random.Generator) -> Float[np.ndarray, "D"]:
    """Means of the differences over drawn scenes, and over drawn values of each."""
    scenes = len(differences)
    total, count = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for _ in range(scenes):
        picked = rng.integers(scenes, size=_DRAWS)
        for scene, own in enumerate(differences):
            at = np.flatnonzero(picked == scene)
            total[at] += own[rng.integers(len(own), size=(len(at), len(own)))].sum(axis=1)
            count[at] += len(own)
    return total / count
