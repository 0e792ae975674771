"""The scenes that a round trains on and is judged by: new ones, replayed ones of the memory, some of a base set."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from wsss_ros.online.records import Decision, Plan
from wsss_ros.online.settings import OnlineConfig, OnlineRecipe
from wsss_ros.online.stored_scene import StoredScene
from wsss_ros.training.scene_set import SceneSetConfig, names_in_set
from wsss_ros.types import BadInput

_MAX_REJECTIONS = 2  # after this many rejected rounds and no promoted one, a scene is not used any more


def plan_round(
    stored: Sequence[StoredScene],
    past: Sequence[tuple[Plan, Decision]],
    number: int,
    start_version: str,
    config: OnlineConfig,
    recipe: OnlineRecipe,
) -> Plan:
    """Plan round ``number``. The plan depends only on the stored scenes, the earlier rounds and the seed.

    New scenes are those that no round judged by the gate has trained on; a round that was given up taught nothing.
    Raises BadInput when there is nothing to learn.
    """
    rng = np.random.default_rng([config.seed, number])
    apart = held_out_names(stored, past)
    new, held_back = split_new(stored, past)
    if not new:
        raise BadInput(_why_nothing(untaught(stored, past)))
    held_out = [scene for scene in stored if scene.name in {*apart, *held_back}]
    judged = [earlier for earlier, decision in past if decision.judged]
    scored = {name for earlier in judged for names in earlier.held_out.values() for name in names}
    sets = {
        "new": [scene for scene in held_out if scene.name not in scored],
        "memory": [scene for scene in held_out if scene.name in scored],
    }
    chosen = {name: balanced(scenes, recipe.held_out_scenes, (), rng) for name, scenes in sets.items()}
    replayed = balanced(_memory(stored, past, apart), round(config.replay * len(new)), new, rng)
    base = _some(base_names(recipe.base), round(config.base * len(new)), rng)
    return Plan(
        number,
        start_version,
        int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0]),
        config.steps,
        max(phase.batch for phase in recipe.phases),
        _names(new),
        _names(replayed),
        base,
        {
            **{name: _names(scenes) for name, scenes in chosen.items()},
            "base": base_names(recipe.base_held_out)[: recipe.held_out_scenes],
        },
        held_back,
    )


def split_new(
    stored: Sequence[StoredScene], past: Sequence[tuple[Plan, Decision]]
) -> tuple[list[StoredScene], list[str]]:
    """Return the scenes that the next round trains on, and the names of those it holds out for good.

    It holds out the oldest new scene if no scene is held out yet, and all scenes that show the same views.
    """
    tagged = untaught(stored, past)
    held_back = [] if held_out_names(stored, past) else _names(_with_same_views(tagged[:1], tagged))
    return [scene for scene in tagged if scene.name not in held_back], held_back


def _why_nothing(tagged: Sequence[StoredScene]) -> str:
    if tagged:
        only = f"'{tagged[0].name}' is the only tagged scene{', played again' * (len(tagged) > 1)}"
        return f"{only}; expected two, one to learn from and one to judge by"
    return "no new tagged scene to learn from; finish a scene with tags first"


def held_out_names(stored: Sequence[StoredScene], past: Sequence[tuple[Plan, Decision]]) -> set[str]:
    """Return the scenes that are never trained on: held out by the store or by an earlier round.

    Scenes that show views of the latter again are among them, except those that were trained on.
    """
    held_back = {name for earlier, _ in past for name in earlier.held_back}
    back = _names(_with_same_views([scene for scene in stored if scene.name in held_back], stored))
    taught = {name for earlier, _ in past for name in earlier.new}
    return {name for name in back if name not in taught} | {scene.name for scene in stored if scene.held_out}


def _with_same_views(scenes: Sequence[StoredScene], among: Sequence[StoredScene]) -> list[StoredScene]:
    """Return ``scenes`` and all that share views with them, directly or through others, in the order of ``among``."""
    names, count = set(_names(scenes)), 0
    while len(names) > count:
        count = len(names)
        names.update(scene.name for scene in among if names.intersection(scene.again_of))
        names.update(name for scene in among if scene.name in names for name in scene.again_of)
    return [scene for scene in among if scene.name in names]


def untaught(stored: Sequence[StoredScene], past: Sequence[tuple[Plan, Decision]]) -> list[StoredScene]:
    """Return the tagged scenes for training that no judged round trained on, oldest first."""
    apart = held_out_names(stored, past)
    taught = {name for earlier, decision in past if decision.judged for name in earlier.new}
    return [scene for scene in stored if scene.name not in apart | taught and scene.tags]


def balanced(
    scenes: Sequence[StoredScene], count: int, chosen: Sequence[StoredScene], rng: np.random.Generator
) -> list[StoredScene]:
    """Choose ``count`` scenes: each a random one with the class that is rarest in the choice so far.

    ``chosen`` are scenes that are in the choice already; they are not returned.
    """
    left, picked = [scene for scene in scenes if scene.tags], list[StoredScene]()
    seen = Counter(tag for scene in chosen for tag in scene.tags)
    while left and len(picked) < count:
        rarest = min({tag for scene in left for tag in scene.tags}, key=lambda tag: (seen[tag], tag))
        having = [scene for scene in left if rarest in scene.tags]
        picked.append(having[int(rng.integers(len(having)))])
        left.remove(picked[-1])
        seen.update(picked[-1].tags)
    return picked


def _memory(stored: Sequence[StoredScene], past: Sequence[tuple[Plan, Decision]], apart: set[str]) -> list[StoredScene]:
    """Return the scenes of earlier rounds, except those of rejected rounds only: a wrong scene would spoil all."""
    taught, promoted, rejected = set[str](), set[str](), Counter[str]()
    for earlier, decision in past:
        names = [*earlier.new, *earlier.memory]
        if decision.promoted:
            promoted.update(names)
        elif decision.judged:
            rejected.update(names)
        taught.update(earlier.new if decision.judged else ())
    known = {name for name in taught - apart if name in promoted or rejected[name] < _MAX_REJECTIONS}
    return [scene for scene in stored if scene.name in known]


def base_names(scenes: SceneSetConfig | None) -> list[str]:
    """Return the scenes of a base set, also rooms that are not generated yet. Raises BadInput without the set."""
    try:
        return [] if scenes is None else names_in_set(scenes)
    except BadInput as error:
        raise BadInput(f"the base set of the recipe cannot be read: {error}") from error


def _some(names: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return sorted(rng.choice(names, min(count, len(names)), replace=False).tolist()) if names and count else []


def _names(scenes: Sequence[StoredScene]) -> list[str]:
    return [scene.name for scene in scenes]
