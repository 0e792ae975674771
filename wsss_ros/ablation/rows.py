"""What an ablation trains: its rows, and the training run of each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.methods import Phase
from wsss_ros.methods.joint import JointPhase
from wsss_ros.methods.method import PairedPhase, PhaseConfig
from wsss_ros.methods.supervised import SupervisedPhase
from wsss_ros.networks.checkpoint import file_of
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.scene_set import SceneSetConfig
from wsss_ros.types import KINDS, BadInput

# How each row differs from the full method. All take the same steps on the same samples from the same weights.
ROWS: dict[str, dict] = {
    "cls": {"image_to_point": 0.0, "point_to_image": 0.0},
    "3d_to_2d_plain": {"image_to_point": 0.0, "confidence": "none"},
    "3d_to_2d": {"image_to_point": 0.0},
    "2d_to_3d_plain": {"point_to_image": 0.0, "confidence": "none"},
    "2d_to_3d": {"point_to_image": 0.0},
    "both": {},
    "supervised": {"method": "supervised"},  # dense labels: the ceiling
}
PRETRAIN, PHASE_ONE = "pretrain", "phase_one"


@dataclass(frozen=True)
class Run:
    """One training run. ``row`` is a name of ROWS, PHASE_ONE or PRETRAIN; ``needs`` names the run it starts from."""

    row: str
    seed: int
    needs: str | None

    @property
    def name(self) -> str:
        """The name, which is also the folder below the ablation's output."""
        return PRETRAIN if self.row == PRETRAIN else f"seed{self.seed}/{self.row}"


def runs(settings: AblationConfig, rows: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Run]:
    """List the runs of these rows and seeds (empty: all) with those they start from, in the order to start them.

    Raises BadInput for an unknown row, and when phase one leaves a network out.
    """
    for row in rows:
        if row not in ROWS:
            raise BadInput(f"no row '{row}' in the ablation; there are: {', '.join(ROWS)}")
    for kind in KINDS:
        if not any(getattr(phase, kind) for phase in settings.classify):
            raise BadInput(f"classify: no phase trains the {kind} network; give one an optimiser under '{kind}:'")
    seeds = tuple(seeds) or settings.seeds
    first = [] if settings.pretrain is None else [run_of(PRETRAIN, settings.pretrain.seed, settings)]
    chosen = [row for row in ROWS if row in rows or not rows]
    starts = [run_of(PHASE_ONE, seed, settings) for seed in seeds]
    return [*first, *starts, *(run_of(row, seed, settings) for seed in seeds for row in chosen)]


def run_of(row: str, seed: int, settings: AblationConfig) -> Run:
    """Return the run of a row and a seed, with the run it starts from."""
    if row == PRETRAIN:
        return Run(row, seed, None)
    before = PRETRAIN if settings.pretrain else None
    return Run(row, seed, before if row == PHASE_ONE else f"seed{seed}/{PHASE_ONE}")


def phase_of(row: str, joint: JointPhase) -> JointPhase | SupervisedPhase:
    """Return the second phase of a row: the joint phase without some of its parts, or supervised steps instead."""
    change = ROWS[row]
    if change.get("method") != "supervised":
        return joint.model_copy(update=change)
    shared = {name: getattr(joint, name) for name in PairedPhase.model_fields}
    return SupervisedPhase(method="supervised", **shared)


def training_of(run: Run, settings: AblationConfig) -> TrainConfig:
    """Return the configuration of the training run. It has no val set: runs are scored on all sets afterwards."""
    data = settings.data.model_copy(update={"val": None, "val_frames_per_scene": 0})
    image, cloud = settings.image, settings.cloud
    phases: tuple[Phase, ...]
    if run.row == PRETRAIN:
        phases = settings.pretrain.phases
        data = data.model_copy(update={"train": settings.pretrain.data or settings.data.train})
        image, cloud = (_where_trained(kind, getattr(settings, kind), phases) for kind in KINDS)
    else:
        phases = settings.classify if run.row == PHASE_ONE else (phase_of(run.row, settings.joint),)
        image, cloud = (_starting_from(run, kind, settings) for kind in KINDS)
    return TrainConfig(
        output=str(Path(settings.output) / run.name),
        labels=settings.labels,
        seed=run.seed,
        device=settings.device,
        precision=settings.precision,
        save_every_s=settings.save_every_s,
        data=data,
        image=image,
        cloud=cloud,
        phases=phases,
    )


def start_weights(run: Run, settings: AblationConfig) -> dict[str, Path]:
    """Return the checkpoints a run starts from, by network: of the run it needs, else as the configuration says."""
    before = () if run.needs is None else settings.pretrain.phases if run.needs == PRETRAIN else settings.classify
    found = {}
    for kind in KINDS:
        if _where_trained(kind, getattr(settings, kind), before):
            found[kind] = file_of(Path(settings.output) / run.needs, kind)
        elif getattr(settings, kind).weights:
            found[kind] = Path(getattr(settings, kind).weights)
    return found


def scene_sets(settings: AblationConfig) -> dict[str, SceneSetConfig]:
    """Return the sets that networks are scored on, by name. Raises BadInput without a val set."""
    if settings.data.val is None:
        raise BadInput("data.val: missing; an ablation needs labelled scenes to score on")
    return {"val": settings.data.val} | ({} if settings.other is None else {"other": settings.other})


def all_scene_sets(settings: AblationConfig) -> list[SceneSetConfig]:
    """List the sets that the runs train and are scored on. Raises BadInput without a val set."""
    pretrain = [] if settings.pretrain is None or settings.pretrain.data is None else [settings.pretrain.data]
    return [settings.data.train, *scene_sets(settings).values(), *pretrain]


def _where_trained(kind: str, network, phases: Sequence[PhaseConfig]):
    return network if any(getattr(phase, kind) for phase in phases) else None


def _starting_from(run: Run, kind: str, settings: AblationConfig):
    network, weights = getattr(settings, kind), start_weights(run, settings).get(kind)
    if weights is None:
        return network
    own = {"pretrained": ""} if kind == "image" else {}
    return network.model_copy(update={"weights": str(weights), **own})
