"""A round of the trial: trained as on the robot, scored as the gate does, and scored against dense truth."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from wsss_ros.evaluation.offline import score_clouds, score_images
from wsss_ros.files import finite, read_json, write_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter, shipped_weights
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.online import records, versions
from wsss_ros.online.progress import LearnerLink, RoundProgress
from wsss_ros.online.records import PLAN, candidate_files
from wsss_ros.online.round import held_out_scores, unchanged_networks
from wsss_ros.online.round_scenes import held_out_scenes, training_sources
from wsss_ros.online.round_training import methods_of, priors_of, train_round, write_candidate
from wsss_ros.online.scores import Observed
from wsss_ros.online.settings import OnlineConfig, OnlineRecipe
from wsss_ros.online.trial import places
from wsss_ros.online.trial.plan import TrialRound, plan_of, trial_rounds
from wsss_ros.scenes import open_scene
from wsss_ros.training.scene_set import SceneSetConfig
from wsss_ros.types import KINDS, BadInput

TRUTH = ("truth_new", "truth_old")  # rooms of the robot's kind, and of the kinds that it knew before
_FIRST = "0000.json"  # truth of the first weights
_FRAMES = 6  # of each of these rooms
_RATE = (10.0, 40.0)  # times the learning rates of the recipe, in rounds with too high a rate


@dataclass
class Trial:
    """The folder of a trial and what it reads: scenes ``stored`` for each place by set, and ``rooms`` by set.

    ``draw`` chooses the rounds, ``seen`` are outputs of the first weights for held-out scenes, by name.
    """

    out: Path
    labels: LabelSpace
    recipe: OnlineRecipe
    rooms: dict[str, list[str]]
    stored: dict[str, dict[str, list[str]]]
    draw: int = 0
    seen: dict[str, Observed] = field(default_factory=dict)

    @property
    def online(self) -> Path:
        """The folder of the learner, as on a robot."""
        return self.out / "online"

    @property
    def config(self) -> OnlineConfig:
        """Settings of the learner. A spike of the loss must not end a round before the gate sees it."""
        return OnlineConfig(folder=str(self.online), spike=1000.0, round_device="cpu", round_threads=1)


def open_trial(
    out: Path,
    labels: LabelSpace,
    recipe: OnlineRecipe,
    real: dict[str, Path],
    generate: places.Generate,
    draw: int = 0,
) -> Trial:
    """Make the scenes and the first version of the weights below ``out``. ``real`` are folders of scenes by place."""
    online = out / "online"
    (online / "scenes").mkdir(parents=True, exist_ok=True)
    rooms = places.rooms(out, online, labels, generate, draw)
    stored = {"rooms": rooms} | {place: places.stretches(path, place, online, labels) for place, path in real.items()}
    image, cloud = (shipped_weights(kind) for kind in KINDS)
    versions.make(online / "weights", versions.FIRST, image, cloud, {"round": 0})
    base = {
        "base": SceneSetConfig(folder=str(out / "base")),
        "base_held_out": SceneSetConfig(folder=str(out / "base_held_out")),
    }
    return Trial(out, labels, recipe.model_copy(update=base), rooms, stored, draw)


def run(trial: Trial, each: TrialRound) -> dict:
    """Train and score one round; returns its record. A finished round is read from its file."""
    file = _file(trial, each)
    if file.is_file():
        return read_json(file)
    started = time.monotonic()
    folder = trial.online / "rounds" / f"{each.number:04d}"
    priors, plan = _train(trial, each, folder)
    trained_s = time.monotonic() - started
    held_out = held_out_scenes(plan.held_out, trial.online, trial.recipe.base_held_out, trial.labels, lambda: None)
    old = versions.at(trial.online / "weights", plan.begins_from)
    files = {"before": (old.image, old.cloud), "after": candidate_files(folder)}
    seen = {"before": trial.seen, "after": None}  # all rounds begin from the same weights
    scores = {
        when: held_out_scores(own, held_out, "cpu", trial.recipe, trial.labels, priors, seen=seen[when])
        for when, own in files.items()
    }
    record = {name: getattr(each, name) for name in ("number", "place", "fault", "index", "draw")}
    record |= {"plan": plan.for_log(), **scores, "truth": _truth(trial, files["after"])}
    record |= {"unchanged": unchanged_networks(files["before"], files["after"])}
    record |= {"seconds": [round(trained_s, 1), round(time.monotonic() - started, 1)]}
    file.parent.mkdir(exist_ok=True)
    write_json(file, finite(record))
    return record


def chosen(trial: Trial, part: str) -> list[TrialRound]:
    """Return the rounds of the trial in places that it has; ``part`` "2/3" is the second of three interleaved parts.

    Raises BadInput for anything else.
    """
    first, _, count = part.partition("/")
    if not (first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
        raise BadInput(f"--part {part}: expected one of several parts, such as 1/2")
    return [each for each in trial_rounds(trial.draw) if each.place in trial.stored][int(first) - 1 :: int(count)]


def finished(out: Path) -> list[dict]:
    """Return the records of the finished rounds of the trial in this folder."""
    return [read_json(file) for file in sorted((out / "rounds").glob("*.json")) if file.name != _FIRST]


def weights_of(out: Path) -> dict[str, str]:
    """Return the versions of the weights that all rounds of the trial in this folder begin from, by kind."""
    first = versions.at(out / "online" / "weights", versions.FIRST)
    return {kind: checkpoint.load(file).version for kind, file in zip(KINDS, (first.image, first.cloud), strict=True)}


def write_truth_before(trial: Trial) -> None:
    """Score the first weights against dense truth, if that is not done yet."""
    file = trial.out / "rounds" / _FIRST
    if not file.is_file():
        first = versions.at(trial.online / "weights", versions.FIRST)
        file.parent.mkdir(exist_ok=True)
        write_json(file, _truth(trial, (first.image, first.cloud)))


def truth_before(out: Path) -> dict:
    """Return the scores of the first weights of the trial in this folder against dense truth."""
    return read_json(out / "rounds" / _FIRST)


def _file(trial: Trial, each: TrialRound) -> Path:
    return trial.out / "rounds" / f"{each.number:04d}.json"


def _train(trial: Trial, each: TrialRound, folder: Path):
    plan = plan_of(each, trial.stored[each.place], trial.rooms["base"], trial.rooms["base_held_out"])
    recipe = trial.recipe
    if each.fault in ("wrong tags", "one class"):
        spoilt = places.spoil(plan.new, trial.online, folder.name, trial.labels, each.fault, each.index, each.draw)
        plan = records.from_values(records.Plan, {**vars(plan), "new": spoilt, "base": []})
    if each.fault == "high rate":
        recipe = _faster(recipe, _RATE[each.index % len(_RATE)])
    folder.mkdir(parents=True, exist_ok=True)
    records.write(folder, PLAN, plan)
    link = LearnerLink(RoundProgress())
    sources, _ = training_sources(plan, trial.online, folder, recipe, trial.labels, link.wait_if_asked)
    methods = methods_of(recipe, sources, trial.labels, link.wait_if_asked)
    old = versions.at(trial.online / "weights", plan.begins_from)
    if not all(path.is_file() for path in candidate_files(folder)):
        train_round(trial.config, recipe, folder, old, methods, link)
        write_candidate(folder, old, recipe.new_share)
    return priors_of(methods, sources), plan


def _faster(recipe: OnlineRecipe, times: float) -> OnlineRecipe:
    """The recipe with higher learning rates."""
    phases = []
    for phase in recipe.phases:
        rates = {kind: own.model_copy(update={"lr": times * own.lr}) for kind, own in phase.optimisers.items()}
        phases.append(phase.model_copy(update=rates))
    return recipe.model_copy(update={"phases": tuple(phases)})


def _truth(trial: Trial, files: tuple[Path, Path]) -> dict[str, dict]:
    """Return the counts of (truth, prediction) by network, set of rooms and room."""
    image, cloud = files
    images = ImageSegmenter(image, "cpu", labels=trial.labels)
    clouds = CloudSegmenter(cloud, "cpu", "float32", trial.recipe.cloud.augment.points, labels=trial.labels)
    found: dict[str, dict] = {kind: {name: {} for name in TRUTH} for kind in KINDS}
    for name in TRUTH:
        for room in trial.rooms[name]:
            scene = [open_scene(trial.out / name / room, trial.labels)]
            found["image"][name][room] = score_images(images, scene, trial.labels, _FRAMES).counts.tolist()
            found["cloud"][name][room] = score_clouds(clouds, scene, trial.labels).counts.tolist()
    return found
