"""The scenes of a round: those it trains on, prepared, and those it is judged by."""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from wsss_ros.labels import LabelSpace
from wsss_ros.online.planning import base_names
from wsss_ros.online.records import SETS, Plan
from wsss_ros.online.settings import OnlineRecipe
from wsss_ros.samples.prepared import Prepared, prepare
from wsss_ros.scenes import open_scene, open_scenes
from wsss_ros.training.scene_set import SceneSetConfig, generate_missing_rooms
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")
SCENES = "scenes"  # folder in that of a round: links to the scenes that it trains on
CACHE = "cache"  # folder in that of the learner: decoded scenes


def training_scenes(
    plan: Plan, root: Path, folder: Path, recipe: OnlineRecipe, labels: LabelSpace, between: Callable[[], None]
) -> Prepared:
    """Decode the scenes that the plan trains on; the training finds them in the cache.

    ``root`` is the folder of the learner, ``folder`` that of the round. ``between`` is called between two scenes.
    Raises BadInput when a scene is gone, and when none is usable.
    """
    _link_scenes(plan, root / "scenes", folder / SCENES, recipe.base)
    scenes, left_out = open_scenes(folder / SCENES, labels)
    prepared = prepare(
        scenes,
        labels,
        root / CACHE,
        recipe.frames_per_scene,
        recipe.image.augment.long_side[1],
        recipe.visibility_m,
        progress=lambda done, total: between(),
    )
    later = [*base_names(recipe.base), *(path.name for path in (root / "scenes").iterdir())]
    _clean_cache(root / CACHE, [*later, *(scene.name for scene in prepared.scenes)])
    return Prepared(prepared.scenes, [*left_out, *prepared.left_out])


def held_out_scenes(
    held_out: dict[str, list[str]], root: Path, base: SceneSetConfig | None, labels: LabelSpace, between: Callable
) -> dict[str, list[Scene]]:
    """Open the held-out scenes by set. A scene that was discarded meanwhile is left out with a warning."""
    opened: dict[str, list[Scene]] = {}
    for name in SETS:
        folder = root / "scenes"
        if name == "base" and base is not None:
            generate_missing_rooms(base, held_out[name])
            folder = Path(base.folder)
        between()
        opened[name] = []
        for scene in held_out[name]:
            try:
                opened[name].append(open_scene(folder / scene, labels))
            except BadInput as error:
                log.warning("%s is not scored: %s", scene, error)
    return opened


def _link_scenes(plan: Plan, stored: Path, folder: Path, base: SceneSetConfig | None) -> None:
    """Fill ``folder`` with links to the scenes that the plan trains on. Raises BadInput when one is gone."""
    if base is not None:
        generate_missing_rooms(base, plan.base)
    place = Path(base.folder) if base is not None else stored
    links = {name: stored / name for name in [*plan.new, *plan.memory]}
    links |= {f"base_{name}": place / name for name in plan.base}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, target in links.items():
        if not target.is_dir():
            raise BadInput(f"{target} is gone since the round was planned; start another round")
        (folder / name).symlink_to(target.absolute())


def _clean_cache(cache: Path, names: Sequence[str]) -> None:
    """Delete decoded scenes that are not stored any more; their folders are called NAME-KEY."""
    for entry in cache.iterdir():
        if entry.name.rpartition("-")[0] not in names:
            shutil.rmtree(entry, ignore_errors=True)
