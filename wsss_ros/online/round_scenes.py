"""The scenes of a round: those it trains on, prepared, and those it is judged by."""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from wsss_ros.labels import LabelSpace
from wsss_ros.methods import METHODS
from wsss_ros.online.planning import base_names
from wsss_ros.online.records import SETS, Plan
from wsss_ros.online.settings import OnlineRecipe
from wsss_ros.samples.mixture import Source
from wsss_ros.scenes import open_scene
from wsss_ros.training.data import long_side_of
from wsss_ros.training.scene_set import SceneSetConfig, generate_missing_rooms
from wsss_ros.training.sources import Decoding, SourceConfig, open_source
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")
SCENES = "scenes"  # folder in that of a round: links to the scenes that it trains on
BASE = "base"  # folder there: links to base scenes with dense labels
CACHE = "cache"  # folder in that of the learner: decoded scenes


def training_sources(
    plan: Plan, root: Path, folder: Path, recipe: OnlineRecipe, labels: LabelSpace, between: Callable[[], None]
) -> tuple[list[Source], list[tuple[str, str]]]:
    """Decode the scenes that the plan trains on; the training finds them in the cache.

    ``root`` is the folder of the learner, ``folder`` that of the round. ``between`` is called between two scenes.
    Returns the sources of the round, as ``source_configs`` describes them, and (name, reason) of what is left out.
    Raises BadInput when a scene is gone, and when none of a source is usable.
    """
    _link_scenes(plan, root / "scenes", folder, recipe)
    truth = any(METHODS[phase.method].needs_truth(phase) for phase in recipe.phases)
    long_side = long_side_of(recipe.image.augment, recipe.phases)
    decoding = Decoding(str(root / CACHE), recipe.frames_per_scene, long_side, recipe.visibility_m, truth)
    opened = [open_source(given, labels) for given in source_configs(folder, recipe)]
    prepared = [each.prepare(labels, decoding, lambda task, done, total: between()) for each in opened]
    sources = [source for source, _ in prepared]
    later = [*base_names(recipe.base), *(path.name for path in (root / "scenes").iterdir())]
    _clean_cache(root / CACHE, [*later, *(scene.name for source in sources for scene in source.scenes)])
    left_out = [[*each.left_out, *rest] for each, (_, rest) in zip(opened, prepared, strict=True)]
    return sources, [entry for entries in left_out for entry in entries]


def source_configs(folder: Path, recipe: OnlineRecipe) -> list[SourceConfig]:
    """The sources of a round whose scenes are linked: all scenes, or with ``base_dense`` those of the base apart.

    Half of each step is then from the base: many different rooms keep what the networks know.
    """
    if not recipe.base_dense:
        return [SourceConfig(path=str(folder / SCENES), dense=True)]
    base = [SourceConfig(path=str(folder / BASE), dense=True)] if any((folder / BASE).iterdir()) else []
    return [SourceConfig(path=str(folder / SCENES)), *base]


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


def _link_scenes(plan: Plan, stored: Path, folder: Path, recipe: OnlineRecipe) -> None:
    """Fill the folder of the round with links to the scenes that the plan trains on. Raises BadInput for one gone."""
    base = recipe.base
    if base is not None:
        generate_missing_rooms(base, plan.base)
    place = Path(base.folder) if base is not None else stored
    links = {folder / SCENES / name: stored / name for name in [*plan.new, *plan.memory]}
    of_base = folder / BASE if recipe.base_dense else folder / SCENES
    links |= {of_base / f"base_{name}": place / name for name in plan.base}
    for inner in (folder / SCENES, folder / BASE):
        shutil.rmtree(inner, ignore_errors=True)
        inner.mkdir(parents=True)
    for link, target in links.items():
        if not target.is_dir():
            raise BadInput(f"{target} is gone since the round was planned; start another round")
        link.symlink_to(target.absolute())


def _clean_cache(cache: Path, names: Sequence[str]) -> None:
    """Delete decoded scenes that are not stored any more; their folders are called NAME-KEY."""
    for entry in cache.iterdir():
        if entry.name.rpartition("-")[0] not in names:
            shutil.rmtree(entry, ignore_errors=True)
