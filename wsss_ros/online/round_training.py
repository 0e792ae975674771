"""The training of a round: a list of methods on its scenes, and the candidate between old and trained weights."""

import bisect
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from wsss_ros.files import read_json
from wsss_ros.labels import LabelSpace
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import Method, PhaseConfig, PhaseData
from wsss_ros.networks import checkpoint
from wsss_ros.online import records
from wsss_ros.online.progress import LearnerLink
from wsss_ros.online.records import PLAN, RUN, Plan
from wsss_ros.online.round_scenes import CACHE, source_configs
from wsss_ros.online.settings import OnlineConfig, OnlineRecipe
from wsss_ros.online.versions import Version
from wsss_ros.samples.mixture import Source, weights_of
from wsss_ros.samples.priors import SourcePriors, TagPriors
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.data import DataConfig
from wsss_ros.training.progress import Progress
from wsss_ros.training.run import train
from wsss_ros.types import KINDS

log = logging.getLogger("wsss_ros")
_CALM_STEPS = 10  # before the loss can spike


class LossSpike(RuntimeError):
    """A loss far above the earlier ones."""


def methods_of(
    recipe: OnlineRecipe, sources: Sequence[Source], labels: LabelSpace, between: Callable[[], None]
) -> list[Method]:
    """Return the methods of the recipe on these sources, after they have generated what they need.

    ``between`` is called while they generate. Raises BadInput where one finds nothing to learn from.
    """
    for phase in recipe.phases:
        METHODS[phase.method].generate(phase, lambda task, done, total: between())
    data = PhaseData(
        sources, labels, recipe.image.augment, recipe.cloud.augment, recipe.cloud.inputs, recipe.visibility_m
    )
    return [METHODS[phase.method](phase, data) for phase in recipe.phases]


def priors_of(methods: Sequence[Method], sources: Sequence[Source]) -> TagPriors:
    """Return the tag priors of the last method that learns from tags; zeros if none does."""
    known = [priors for method in methods if (priors := method.tag_priors()) is not None]
    return known[-1] if known else SourcePriors(sources, 0.0, weights_of(sources)).mixed()


def train_round(
    config: OnlineConfig, recipe: OnlineRecipe, folder: Path, old: Version, methods: Sequence[Method], link: LearnerLink
) -> dict[str, float]:
    """Train in the folder of the round; return the mean losses of the last epoch.

    Without enough GPU memory the batch is halved once. Raises what ``training.run.train`` raises, LossSpike,
    LearnerGone, and torch.OutOfMemoryError.
    """
    plan = records.read(folder, PLAN, Plan)
    phases = _phases(methods, plan)
    try:
        watch = StepWatch(config.spike, link)
        train(_settings(config, recipe, folder, old, plan.seed, phases), "online round", watch)
        return read_json(folder / RUN / "curves.json")[-1]["epochs"][-1]
    except torch.OutOfMemoryError:
        batch = max(phase.batch for phase in phases)
        if plan.halved or batch < 2:
            raise
    # Outside of the handler: the exception holds the tensors of the step that failed.
    log.warning("round %d: out of GPU memory with %d samples a step; trying %d", plan.round, batch, batch // 2)
    torch.cuda.empty_cache()
    shutil.rmtree(folder / RUN, ignore_errors=True)
    records.write(folder, PLAN, replace(plan, batch=batch // 2, halved=True))
    return train_round(config, recipe, folder, old, methods, link)


def _phases(methods: Sequence[Method], plan: Plan) -> tuple[PhaseConfig, ...]:
    """Return phases of ``plan.steps`` steps in all, each of complete epochs, with at most ``plan.batch`` samples."""
    epochs = sum(method.phase.epochs for method in methods)
    phases = []
    for method in methods:
        count = len(method.samples)
        batch = min(method.phase.batch, plan.batch, count)
        steps = plan.steps * method.phase.epochs / epochs
        phases.append(method.phase.continued(max(1, round(steps / (count // batch))), batch))
    return tuple(phases)


def _settings(
    config: OnlineConfig, recipe: OnlineRecipe, folder: Path, old: Version, seed: int, phases: tuple[PhaseConfig, ...]
) -> TrainConfig:
    """Return the settings of a training run in the folder of the round, from the old weights."""
    return TrainConfig(
        output=str(folder / RUN),
        labels=recipe.labels,
        seed=seed,
        device=config.round_device,
        precision=recipe.precision,
        save_every_s=recipe.save_every_s,
        data=DataConfig(
            sources=tuple(source_configs(folder, recipe)),
            frames_per_scene=recipe.frames_per_scene,
            visibility_m=recipe.visibility_m,
            cache=str(folder.parent.parent / CACHE),
        ),
        image=recipe.image.model_copy(update={"weights": str(old.image), "pretrained": ""}),
        cloud=recipe.cloud.model_copy(update={"weights": str(old.cloud)}),
        phases=phases,
    )


def write_candidate(folder: Path, old: Version, share: float) -> None:
    """Write the candidate: old weights plus ``share`` of their difference to the trained ones.

    The average of two networks, one of which was fine-tuned from the other, keeps more of what the first one had
    learned (Wortsman et al., Robust fine-tuning of zero-shot models, 2022). A network that no phase trained stays.
    """
    trained = tuple(checkpoint.file_of(folder / RUN, kind) for kind in KINDS)
    for before, after, target in zip((old.image, old.cloud), trained, records.candidate_files(folder), strict=True):
        new, start = checkpoint.load(after if after.is_file() else before), checkpoint.load(before)
        known = start.network.state_dict()
        mixed = {
            name: torch.lerp(known[name], value, share) if value.is_floating_point() else value
            for name, value in new.network.state_dict().items()
        }
        new.network.load_state_dict(mixed)
        # The few scenes of a round do not show how common classes are in images, and have no labels to calibrate with.
        names = ("presence_floor", "tag_log_odds", "temperature", "min_confidence")
        likely = {name: getattr(start.config, name) for name in names}
        about = {**new.training, "new_share": share}
        checkpoint.save(target, new.network, replace(new.config, **likely), new.labels, about)


class StepWatch:
    """Called after every step: it reports the progress, waits where asked to, and raises LossSpike."""

    def __init__(self, spike: float, link: LearnerLink):
        self.spike, self.link = spike, link
        self._phase, self._losses = "", list[float]()  # the losses of this phase, sorted
        self._took_s = 0.0
        self._since = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Take note of a step."""
        if progress.terms:
            self._step(progress)
        self.link.wait_if_asked()
        self._since = time.monotonic()

    def _step(self, progress: Progress) -> None:
        loss, shown = sum(progress.terms.values()), self.link.progress
        if progress.phase != self._phase:  # its losses are others
            self._phase, self._losses, self._took_s = progress.phase, [], 0.0
        self._took_s += time.monotonic() - self._since if self._losses else 0  # the first step includes the set-up
        median = self._losses[len(self._losses) // 2] if self._losses else loss
        if len(self._losses) >= _CALM_STEPS and loss > self.spike * median:
            raise LossSpike(
                f"the loss rose to {loss:.3g} at step {progress.step} of {progress.steps}, "
                f"more than {self.spike:g} times its median so far, {median:.3g}"
            )
        bisect.insort(self._losses, loss)
        shown.step, shown.steps, shown.loss = progress.step, progress.steps, loss
        shown.step_s = self._took_s / max(1, len(self._losses) - 1)
