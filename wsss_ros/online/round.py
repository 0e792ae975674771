"""One round in a process of its own: train on the chosen scenes, score old and new weights, let the gate decide.

A round that is killed at any moment resumes and reaches the same decision.
"""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from wsss_ros.device import use_threads
from wsss_ros.files import expanded, lock
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.networks import checkpoint
from wsss_ros.online import gate, plot, records, versions
from wsss_ros.online.progress import UNFINISHED, LearnerGone, LearnerLink, RoundProgress
from wsss_ros.online.records import DECISION, PLAN, Decision, Plan, candidate_files, given_up
from wsss_ros.online.round_scenes import held_out_scenes, training_sources
from wsss_ros.online.round_training import LossSpike, methods_of, priors_of, train_round, write_candidate
from wsss_ros.online.scores import Observed, Scorer
from wsss_ros.online.settings import OnlineConfig, OnlineRecipe, recipe_of
from wsss_ros.online.versions import Version
from wsss_ros.processes.parent import end_with_parent
from wsss_ros.processes.signals import Interrupted
from wsss_ros.samples.priors import TagPriors
from wsss_ros.training.phase import TrainingDiverged
from wsss_ros.types import KINDS, BadInput, Scene

log = logging.getLogger("wsss_ros")
_NICE = 10


def run(config: OnlineConfig, number: int, learner: Connection, progress: RoundProgress) -> None:
    """Run a planned round to its decision, as the main function of its process, which ends with its parent."""
    _set_up_process(config)
    folder = expanded(config.folder) / "rounds" / f"{number:04d}"
    with lock(folder.parent / ".lock", wait=True):  # a round that outlives its learner by a moment ends first
        if (folder / DECISION).exists():
            return
        try:
            decision = decide(config, folder, LearnerLink(progress, learner))
        except (Interrupted, LearnerGone):
            raise SystemExit(UNFINISHED) from None
        if not decision.judged:
            records.delete_training(folder)  # makes room for the decision on a full disk
        records.write(folder, DECISION, decision)
        _draw(folder.parent.parent, decision)


def _set_up_process(config: OnlineConfig) -> None:
    """Give the process the lowest priority on this machine and its own threads, and end it with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process, too; the learner decides when it ends
    end_with_parent()  # where this does nothing, the closed pipe is noticed at the next step
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it ended before the line above
        raise SystemExit(UNFINISHED)
    os.nice(_NICE)
    use_threads(config.round_threads)


def decide(config: OnlineConfig, folder: Path, link: LearnerLink) -> Decision:
    """Return the decision of the round planned in ``folder``. Any error becomes a decision to keep the weights.

    Raises Interrupted where a signal asks it to stop, LearnerGone where the learner has ended.
    """
    plan, start = records.read(folder, PLAN, Plan), time.monotonic()
    try:
        decision = _train_and_judge(config, folder, plan, link)
    except (Interrupted, LearnerGone):
        raise
    except torch.OutOfMemoryError as error:
        batch = records.read(folder, PLAN, Plan).batch
        decision = given_up(plan, f"out of GPU memory, also with {batch} samples a step: {_first_line(error)}")
    except OSError as error:
        decision = given_up(plan, f"the disk or a file failed: {error}")
    except (BadInput, LossSpike, TrainingDiverged) as error:
        decision = given_up(plan, str(error))
    except Exception as error:
        log.exception("round %d failed", plan.round)
        decision = given_up(plan, f"{type(error).__name__}: {_first_line(error)}")
    decision.more["seconds"] = round(time.monotonic() - start, 1)
    return decision


def _train_and_judge(config: OnlineConfig, folder: Path, plan: Plan, link: LearnerLink) -> Decision:
    """The steps of a round."""
    root, recipe = folder.parent.parent, recipe_of(config)
    labels, old = labels_named(recipe.labels), versions.at(root / "weights", plan.begins_from)
    link.enter("preparing scenes")
    sources, left_out = training_sources(plan, root, folder, recipe, labels, link.wait_if_asked)
    methods = methods_of(recipe, sources, labels, link.wait_if_asked)
    link.enter("training")
    losses = train_round(config, recipe, folder, old, methods, link)
    write_candidate(folder, old, recipe.new_share)
    link.enter("scoring")
    held_out = held_out_scenes(plan.held_out, root, recipe.base_held_out, labels, link.wait_if_asked)
    priors = priors_of(methods, sources)
    scores = {
        when: held_out_scores(files, held_out, config.round_device, recipe, labels, priors, link.wait_if_asked)
        for when, files in {"before": (old.image, old.cloud), "after": candidate_files(folder)}.items()
    }
    more = plan.for_log() | {"losses": losses, "left_out": dict(left_out)}
    return _judge(limits_of(config), plan, old, folder, scores, more)


def limits_of(config: OnlineConfig) -> gate.Limits:
    """Return what the gate refuses."""
    return gate.Limits(config.tolerance, config.significance, config.label_tolerance)


def held_out_scores(
    files: tuple[Path, Path],
    held_out: dict[str, list[Scene]],
    device: str,
    recipe: OnlineRecipe,
    labels: LabelSpace,
    priors: TagPriors,
    between: Callable[[], None] = lambda: None,
    seen: dict[str, Observed] | None = None,
) -> dict[str, dict]:
    """Return the scores of two checkpoints by set of held-out scenes.

    ``seen`` are outputs of these checkpoints by the name of the scene; further ones are added to it.
    """
    image, cloud = files
    scorer = Scorer(
        ImageSegmenter(image, device, "float32", labels=labels),
        CloudSegmenter(cloud, device, "float32", recipe.cloud.augment.points, labels=labels),
        labels,
        priors,
        recipe.held_out_frames,
        recipe.visibility_m,
        between,
    )
    return {
        name: scorer.score(scenes, seen, simulated=recipe.base_dense and name == "base")
        for name, scenes in held_out.items()
        if scenes
    }


def _judge(
    limits: gate.Limits, plan: Plan, old: Version, folder: Path, scores: dict[str, dict], more: dict
) -> Decision:
    """Let the gate decide; make a version of the networks that it accepts and the old ones that stay."""
    root = folder.parent.parent
    best = gate.best_so_far(plan.held_out, records.Log(root / "rounds.jsonl").decisions)
    unchanged = unchanged_networks((old.image, old.cloud), candidate_files(folder))
    verdicts = gate.judge(scores["before"], scores["after"], limits, best, unchanged)
    why = "; ".join(
        f"{kind} network {'promoted' if verdict.promoted else 'refused'}, {verdict.why}"
        for kind, verdict in verdicts.items()
    )
    if plan.held_back:
        why += f"; nothing was held out before, so '{plan.held_back[0]}' is from now on"
    networks = {kind: asdict(verdict) for kind, verdict in verdicts.items()}
    promoted = any(verdict.promoted for verdict in verdicts.values())
    version = f"{plan.round:04d}" if promoted else plan.begins_from
    decision = Decision(plan.round, promoted, why, **scores, version=version, more=more, networks=networks)
    if promoted:
        image, cloud = candidate_files(folder)
        about = {"begins_from": plan.begins_from, **decision.without_values()}
        image, cloud = image if decision.took("image") else old.image, cloud if decision.took("cloud") else old.cloud
        versions.make(root / "weights", version, image, cloud, about)
    return decision


def unchanged_networks(before: tuple[Path, Path], after: tuple[Path, Path]) -> list[str]:
    """Return the kinds of networks whose weights are the same in both checkpoints, to the last bit."""
    return [kind for kind, *files in zip(KINDS, before, after, strict=True) if _same_weights(*files)]


def _same_weights(before: Path, after: Path) -> bool:
    old, new = (checkpoint.load(file).network.state_dict() for file in (before, after))
    return old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)


def _draw(root: Path, decision: Decision) -> None:
    """Draw the picture of all rounds. A failure does not affect the round."""
    try:
        plot.draw([*records.Log(root / "rounds.jsonl").decisions, decision], root / "rounds.png")
    except Exception as error:
        log.warning("rounds.png could not be drawn: %s", error)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
