"""One round in a process of its own: train on the chosen scenes, score old and new weights, let the gate decide.

Killed at any moment and started again it goes on where it stood, and comes to the decision it would have come to.
"""

import bisect
import logging
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from wsss_ros.config import SceneSetConfig
from wsss_ros.device import use_threads
from wsss_ros.files import lock, read_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import Method, PhaseConfig, PhaseData, TagPriors, tag_priors
from wsss_ros.networks import checkpoint
from wsss_ros.online import gate, memory, plot, records, versions
from wsss_ros.online.progress import UNFINISHED, LearnerGone  # noqa: I001
from wsss_ros.online.progress import LearnerLink as Talk
from wsss_ros.online.progress import RoundProgress as Told
from wsss_ros.online.records import DECISION, PLAN, RUN, SETS, Decision, Plan, candidate, given_up
from wsss_ros.online.scores import Judge
from wsss_ros.online.settings import OnlineConfig, OnlineRecipe, recipe_of
from wsss_ros.online.versions import Version
from wsss_ros.processes.parent import end_with_parent
from wsss_ros.processes.signals import Interrupted
from wsss_ros.rooms.generator import generate_room
from wsss_ros.samples.prepared import Prepared, prepare
from wsss_ros.scenes import open_scene, open_scenes
from wsss_ros.training import run as training
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.data import DataConfig
from wsss_ros.training.progress import Progress
from wsss_ros.types import KINDS, BadInput, Scene

log = logging.getLogger("wsss_ros")

_NICE = 10
_CALM_STEPS = 10  # before the loss can spike


class LossSpike(RuntimeError):
    """A loss far above what it was so far."""


def run(config: OnlineConfig, number: int, learner: Connection, told: Told) -> None:
    """Carry a planned round to its decision; the whole life of its process, which ends with its parent's."""
    _settle_in(config)
    folder = Path(config.folder).expanduser() / "rounds" / f"{number:04d}"
    with lock(folder.parent / ".lock", wait=True):  # a round that outlives its learner by a moment ends first
        if (folder / DECISION).exists():
            return
        try:
            decision = perform(config, folder, Talk(told, learner))
        except (Interrupted, LearnerGone):
            raise SystemExit(UNFINISHED) from None
        if not decision.judged:
            records.tidy(folder)  # where the disk is full this makes room for the decision
        records.write(folder, DECISION, decision)
        _draw(folder.parent.parent, decision)


def _settle_in(config: OnlineConfig) -> None:
    """Behind everything else on this machine, on its own threads, and never without its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it, too; the learner decides when it ends
    end_with_parent()  # where this does nothing, the closed pipe is seen at the next step
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it died before the line above
        raise SystemExit(UNFINISHED)
    os.nice(_NICE)
    use_threads(config.round_threads)


def perform(config: OnlineConfig, folder: Path, talk: Talk) -> Decision:
    """The round planned in ``folder``, to its decision. Whatever goes wrong in it becomes a decision against it.

    Raises Interrupted where a signal asks it to stop, LearnerGone where nobody waits for it.
    """
    plan, began = records.read(folder, PLAN, Plan), time.monotonic()
    try:
        decision = _judged(config, folder, plan, talk)
    except (Interrupted, LearnerGone):
        raise
    except torch.OutOfMemoryError as error:
        batch = records.read(folder, PLAN, Plan).batch
        decision = given_up(plan, f"out of GPU memory, also with {batch} samples a step: {_first_line(error)}")
    except OSError as error:
        decision = given_up(plan, f"the disk or a file failed: {error}")
    except (BadInput, LossSpike, training.TrainingDiverged) as error:
        decision = given_up(plan, str(error))
    except Exception as error:
        log.exception("round %d failed", plan.round)
        decision = given_up(plan, f"{type(error).__name__}: {_first_line(error)}")
    decision.more["seconds"] = round(time.monotonic() - began, 1)
    return decision


def _judged(config: OnlineConfig, folder: Path, plan: Plan, talk: Talk) -> Decision:
    """The round as it should go."""
    root = folder.parent.parent
    recipe = recipe_of(config)
    labels, old = labels_named(recipe.labels), versions.at(root / "weights", plan.begins_from)
    talk.doing("preparing scenes")
    _gather(plan, root, folder / "scenes", recipe)
    prepared = _prepared(folder / "scenes", recipe, labels, root / "cache", talk)
    _forget(root / "cache", [*_names(root, recipe), *(scene.name for scene in prepared.scenes)])
    talk.doing("training")
    losses = _train(config, recipe, folder, old, prepared, talk)
    _average(folder, old, recipe.new_share)
    talk.doing("scoring")
    held_out = {name: _opened(root, recipe, name, plan.held_out[name], labels, talk) for name in SETS}
    priors = _tag_priors(recipe, prepared, labels)
    files = {"before": (old.image, old.cloud), "after": candidate(folder)}
    scores = {}
    for when, (image, cloud) in files.items():
        judge = Judge(
            ImageSegmenter(image, config.round_device, "float32", labels=labels),
            CloudSegmenter(cloud, config.round_device, "float32", recipe.cloud.augment.points, labels=labels),
            labels,
            priors,
            recipe.held_out_frames,
            recipe.visibility_m,
            talk.rest,
        )
        scores[when] = {name: judge.score(scenes) for name, scenes in held_out.items() if scenes}
    best = gate.best_so_far(plan.held_out, records.Log(root / "rounds.jsonl").decisions)
    promoted, why = gate.judge(scores["before"], scores["after"], config.tolerance, best)
    more = plan.told() | {"losses": losses, "left_out": dict(prepared.left_out)}
    if plan.held_back:
        why += f"; nothing was held out before, so '{plan.held_back[0]}' is from now on"
    if promoted:
        told = {"round": plan.round, "begins_from": plan.begins_from, "scores": scores["after"], "why": why}
        versions.make(root / "weights", f"{plan.round:04d}", *candidate(folder), told)
    return Decision(
        plan.round, promoted, why, **scores, version=f"{plan.round:04d}" if promoted else plan.begins_from, more=more
    )


# --- scenes ---


def _gather(plan: Plan, root: Path, folder: Path, recipe: OnlineRecipe) -> None:
    """Links to the scenes of the plan. Raises BadInput when one is gone."""
    _generate(recipe.base, plan.base)
    base = Path(recipe.base.folder).absolute() if recipe.base else root
    links = {name: root / "scenes" / name for name in [*plan.new, *plan.memory]}
    links |= {f"base_{name}": base / name for name in plan.base}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, target in links.items():
        if not target.is_dir():
            raise BadInput(f"{target} is gone since the round was planned; start another round")
        (folder / name).symlink_to(target.absolute())


def _generate(scenes: SceneSetConfig | None, names: Sequence[str]) -> None:
    """The procedural rooms of a base set that are asked for and not there yet."""
    if scenes is None or scenes.rooms is None:
        return
    seeds, wanted = memory.room_seeds(scenes), scenes.rooms
    for name in names:
        if not (Path(scenes.folder) / name).exists():
            generate_room(scenes.folder, seeds[name], **wanted.options)


def _prepared(folder: Path, recipe: OnlineRecipe, labels: LabelSpace, cache: Path, talk: Talk) -> Prepared:
    """The scenes decoded; the training finds them in the cache."""
    scenes, left_out = open_scenes(SceneSetConfig(folder=str(folder)), labels)
    size, tell = recipe.image.augment.long_side[1], lambda done, total: talk.rest()
    prepared = prepare(scenes, labels, cache, recipe.frames_per_scene, size, recipe.visibility_m, progress=tell)
    return Prepared(prepared.scenes, [*left_out, *prepared.left_out])


def _names(root: Path, recipe: OnlineRecipe) -> list[str]:
    """All scenes that a later round may train on."""
    return [*memory.names_of(recipe.base), *(path.name for path in (root / "scenes").iterdir())]


def _forget(cache: Path, names: Sequence[str]) -> None:
    """Decoded scenes that are no longer stored (a cache folder is called NAME-KEY)."""
    for entry in cache.iterdir():
        if entry.name.rpartition("-")[0] not in names:
            shutil.rmtree(entry, ignore_errors=True)


def _opened(
    root: Path, recipe: OnlineRecipe, name: str, scenes: Sequence[str], labels: LabelSpace, talk: Talk
) -> list[Scene]:
    """Held-out scenes of a set. One that was let go since is missing, for the old weights and the new ones alike."""
    folder = root / "scenes"
    if name == "base" and recipe.base_held_out is not None:
        _generate(recipe.base_held_out, scenes)
        folder = Path(recipe.base_held_out.folder)
    talk.rest()
    opened = []
    for scene in scenes:
        try:
            opened.append(open_scene(folder / scene, labels))
        except BadInput as error:
            log.warning("%s is not scored: %s", scene, error)
    return opened


# --- training ---


def _train(
    config: OnlineConfig, recipe: OnlineRecipe, folder: Path, old: Version, prepared: Prepared, talk: Talk
) -> dict[str, float]:
    """Train the candidate; returns its mean losses in the last epoch. Out of memory, the batch is halved once."""
    plan = records.read(folder, PLAN, Plan)
    settings = _settings(config, recipe, folder, old, plan, _phases(recipe, plan, prepared))
    try:
        training.train(settings, "online round", _Watch(config.spike, talk))
        return read_json(folder / RUN / "curves.json")[-1]["epochs"][-1]
    except torch.OutOfMemoryError:
        batch = max(phase.batch for phase in settings.phases)
        if plan.halved or batch < 2:
            raise
    # Outside of the handler: the exception holds on to the tensors of the step that failed.
    log.warning("round %d: out of GPU memory with %d samples a step; trying %d", plan.round, batch, batch // 2)
    torch.cuda.empty_cache()
    shutil.rmtree(folder / RUN, ignore_errors=True)
    records.write(folder, PLAN, replace(plan, batch=batch // 2, halved=True))
    return _train(config, recipe, folder, old, prepared, talk)


def _methods(recipe: OnlineRecipe, prepared: Prepared, labels: LabelSpace) -> list[Method]:
    """The methods of the recipe on the scenes of the round. Raises BadInput where one finds nothing to learn from."""
    data = PhaseData(
        prepared.scenes,
        labels,
        recipe.image.augment,
        recipe.cloud.augment,
        recipe.cloud.inputs,
        recipe.visibility_m,
    )
    return [METHODS[phase.method](phase, data) for phase in recipe.phases]


def _phases(recipe: OnlineRecipe, plan: Plan, prepared: Prepared) -> tuple[PhaseConfig, ...]:
    """The phases of a round of ``plan.steps`` steps, each of whole epochs; none takes more than ``plan.batch``."""
    methods = _methods(recipe, prepared, labels_named(recipe.labels))
    epochs = sum(phase.epochs for phase in recipe.phases)
    phases = []
    for method in methods:
        count = len(method.samples)
        batch = min(method.phase.batch, plan.batch, count)
        steps = plan.steps * method.phase.epochs / epochs
        phases.append(method.phase.continued(max(1, round(steps / (count // batch))), batch))
    return tuple(phases)


def _tag_priors(recipe: OnlineRecipe, prepared: Prepared, labels: LabelSpace) -> TagPriors:
    """Those of the last phase that learns from tags; without one, no prior."""
    priors = [method.tag_priors() for method in _methods(recipe, prepared, labels)]
    known = [each for each in priors if each is not None]
    return known[-1] if known else tag_priors(prepared.scenes, 0.0)


def _settings(
    config: OnlineConfig,
    recipe: OnlineRecipe,
    folder: Path,
    old: Version,
    plan: Plan,
    phases: tuple[PhaseConfig, ...],
) -> TrainConfig:
    """The training run of a round; its learning rates fall over it."""
    return TrainConfig(
        output=str(folder / RUN),
        labels=recipe.labels,
        seed=plan.seed,
        device=config.round_device,
        precision=recipe.precision,
        save_every_s=recipe.save_every_s,
        data=DataConfig(
            train=SceneSetConfig(folder=str(folder / "scenes")),
            frames_per_scene=recipe.frames_per_scene,
            visibility_m=recipe.visibility_m,
            cache=str(folder.parent.parent / "cache"),
        ),
        image=recipe.image.model_copy(update={"weights": str(old.image), "pretrained": ""}),
        cloud=recipe.cloud.model_copy(update={"weights": str(old.cloud)}),
        phases=phases,
    )


def _average(folder: Path, old: Version, share: float) -> None:
    """The candidate: ``share`` of the way from the old weights to the trained ones.

    The average of two networks of which one was fine-tuned from the other keeps more of what the first one knew
    (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
    """
    trained = tuple(checkpoint.file_of(folder / RUN, kind) for kind in KINDS)
    for before, after, target in zip((old.image, old.cloud), trained, candidate(folder), strict=True):
        made, began = checkpoint.load(after), checkpoint.load(before)
        known = began.network.state_dict()
        mixed = {
            name: torch.lerp(known[name], value, share) if value.is_floating_point() else value
            for name, value in made.network.state_dict().items()
        }
        made.network.load_state_dict(mixed)
        # What is likely to be in an image, the few scenes of a round do not tell.
        likely = {name: getattr(began.config, name) for name in ("presence_floor", "tag_log_odds")}
        told = {**made.training, "new_share": share}
        checkpoint.save(target, made.network, replace(made.config, **likely), made.labels, told)


class _Watch:
    """Called after every step: tells how far it came, waits where asked to, and raises LossSpike."""

    def __init__(self, spike: float, talk: Talk):
        self.spike, self.talk = spike, talk
        self._losses: list[float] = []  # sorted
        self._took_s = 0.0
        self._since = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.terms:
            self._step(progress)
        self.talk.rest()
        self._since = time.monotonic()

    def _step(self, progress: Progress) -> None:
        loss, told = sum(progress.terms.values()), self.talk.told
        self._took_s += time.monotonic() - self._since if self._losses else 0  # networks are made before the first
        middle = self._losses[len(self._losses) // 2] if self._losses else loss
        if len(self._losses) >= _CALM_STEPS and loss > self.spike * middle:
            raise LossSpike(
                f"the loss rose to {loss:.3g} at step {progress.step} of {progress.steps}, "
                f"more than {self.spike:g} times its median so far, {middle:.3g}"
            )
        bisect.insort(self._losses, loss)
        told.step, told.steps, told.loss = progress.step, progress.steps, loss
        told.step_s = self._took_s / max(1, len(self._losses) - 1)


def _draw(root: Path, decision: Decision) -> None:
    """A picture that fails is no reason to fail."""
    try:
        plot.draw([*records.Log(root / "rounds.jsonl").decisions, decision], root / "rounds.png")
    except Exception as error:
        log.warning("rounds.png could not be drawn: %s", error)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
