"""What all experiments have in common: settings, and rows that are each trained by a run, some from the same start."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from wsss_ros.config import Config
from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.methods import Phase
from wsss_ros.methods.densify.phase import PrimitiveOptions
from wsss_ros.networks.checkpoint import file_of
from wsss_ros.samples.scene_regions import RegionChoice
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.data import DataConfig
from wsss_ros.training.network_files import CloudNetworkConfig, ImageNetworkConfig
from wsss_ros.training.scene_set import SceneSetConfig
from wsss_ros.types import KINDS, BadInput

PRETRAIN = "pretrain"


@dataclass(frozen=True)
class Run:
    """One training run: ``phases`` in one go, from the networks of ``before``.

    ``name`` is also its folder below the experiment's output. ``sets`` are the names of what its networks are scored
    on, keys of ``scored_sets``. ``cloud`` is a cloud network of its own, which starts from random weights; None: that
    of the experiment.
    """

    name: str
    seed: int
    phases: tuple[Phase, ...]
    train: SceneSetConfig
    before: "Run | None" = None
    sets: tuple[str, ...] = ()
    cloud: CloudNetworkConfig | None = None

    @property
    def chain(self) -> tuple["Run", ...]:
        """The runs that it starts from, in order, and itself."""
        return (self,) if self.before is None else (*self.before.chain, self)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of networks that its phases use."""
        return tuple(kind for kind in KINDS if any(kind in phase.networks for phase in self.phases))


class PseudoLabelsConfig(Config):
    """How the networks of a run label the scenes that they were trained on. The labels are scored, not used."""

    image_tags: Literal["scene", "image"] = Field(
        "scene", description="The classes that a pixel may get: the tags of its scene, or those of its image."
    )
    regions: RegionChoice | None = Field(
        None, description="Regions whose mean probability decides, as in WSegPC; without, each point for itself."
    )
    primitives: PrimitiveOptions | None = Field(
        None, description="Primitives whose classes label the points instead of the head (Densify, table 6)."
    )
    centring: float = Field(
        0.0, ge=0, le=1, description="Share of the mean score of each class that is subtracted first, as in WSegPC."
    )


@dataclass(frozen=True)
class ScoredSet:
    """Scenes, and whether the networks get the tags of these: their labels are then pseudo-labels.

    With ``fused`` the labels of clouds are the fused labels of images, and no cloud network is scored.
    """

    scenes: SceneSetConfig
    pseudo: PseudoLabelsConfig | None = None
    fused: FusedInput | None = None


class PretrainConfig(Config):
    """Training before all rows, once for all seeds. It stands in for the paper's ImageNet weights."""

    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")
    data: SceneSetConfig | None = Field(None, description="Other scenes to train on; without it those of data.train.")
    phases: tuple[Phase, ...]


class ExperimentConfig(Config):
    """Rows that are trained on the same scenes with the same networks, and compared."""

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}

    output: str = Field(description="Folder of all runs; each has a folder below it.")
    results: str = Field("docs/results", description="Path of .json and .md and start of the names of their pictures.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="Seeds of weights, order and augmentation.")
    labels: str = Field("config/labels/scannet20.yaml", description="Label space.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N; one run at a time on cuda.")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Arithmetic while training.")
    save_every_s: float = Field(120.0, ge=0, description="Time between two states to resume from; 0 after each step.")
    data: DataConfig
    other: SceneSetConfig | None = Field(None, description="Scenes of another style, which are only scored.")
    image: ImageNetworkConfig
    cloud: CloudNetworkConfig
    pretrain: PretrainConfig | None = None

    @model_validator(mode="after")
    def _one_folder_of_scenes(self) -> "ExperimentConfig":
        if self.data.train is None:
            raise ValueError("data.sources: the rows of an experiment train on one folder of scenes; give data.train")
        return self

    @property
    def train(self) -> SceneSetConfig:
        """The scenes that the rows train on."""
        assert self.data.train is not None  # as checked above
        return self.data.train

    @property
    def scene_sets(self) -> dict[str, SceneSetConfig]:
        """The sets that networks are scored on, by name. Raises BadInput without a val set."""
        if self.data.val is None:
            raise BadInput("data.val: missing; an experiment needs labelled scenes to score on")
        return {"val": self.data.val} | ({} if self.other is None else {"other": self.other})

    @property
    def scored_sets(self) -> dict[str, ScoredSet]:
        """All that runs are scored on, by name."""
        return {name: ScoredSet(scenes) for name, scenes in self.scene_sets.items()}

    @property
    def row_names(self) -> tuple[str, ...]:
        """The rows, in the order of the report."""
        raise NotImplementedError

    def run_of(self, row: str, seed: int) -> Run:
        """The run that trains a row, with the runs that it starts from."""
        raise NotImplementedError

    def pretraining(self) -> Run | None:
        """The run before all rows, if there is one."""
        if self.pretrain is None:
            return None
        return Run(PRETRAIN, self.pretrain.seed, self.pretrain.phases, self.pretrain.data or self.train)


def runs(settings: ExperimentConfig, rows: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Run]:
    """List the runs of these rows and seeds (empty: all) with those they start from, in the order to start them.

    Raises BadInput for an unknown row.
    """
    for row in rows:
        if row not in settings.row_names:
            raise BadInput(f"no row '{row}' in the experiment; there are: {', '.join(settings.row_names)}")
    chosen = [row for row in settings.row_names if row in rows or not rows]
    found = [settings.run_of(row, seed) for seed in tuple(seeds) or settings.seeds for row in chosen]
    return list({run.name: run for last in found for run in last.chain}.values())


def training_of(run: Run, settings: ExperimentConfig) -> TrainConfig:
    """Return the configuration of the training run. It has no val set: runs are scored on all sets afterwards."""
    data = settings.data.model_copy(update={"val": None, "val_frames_per_scene": 0, "train": run.train})
    image, cloud = (_starting(run, kind, settings) for kind in KINDS)
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
        phases=run.phases,
    )


def start_weights(run: Run, settings: ExperimentConfig) -> dict[str, Path]:
    """Return the checkpoints a run starts from, by network: of the runs before it, else as the configuration says.

    A cloud network of its own has none.
    """
    given = {kind: Path(weights) for kind in run.kinds if (weights := getattr(settings, kind).weights)}
    before = {} if run.before is None else trained_networks(run.before, settings)
    starts = [kind for kind in run.kinds if kind != "cloud" or run.cloud is None]
    return {kind: before.get(kind) or given[kind] for kind in starts if kind in before or kind in given}


def trained_networks(run: Run, settings: ExperimentConfig) -> dict[str, Path]:
    """The checkpoints after a run, by kind of network: of the last run in its chain that has the kind."""
    last = {kind: each for each in run.chain for kind in each.kinds}
    return {kind: file_of(Path(settings.output) / last[kind].name, kind) for kind in KINDS if kind in last}


def all_scene_sets(settings: ExperimentConfig) -> list[SceneSetConfig]:
    """List the sets that the runs train and are scored on. Raises BadInput without a val set."""
    pretrain = [] if settings.pretrain is None or settings.pretrain.data is None else [settings.pretrain.data]
    return [settings.train, *settings.scene_sets.values(), *pretrain]


def _starting(run: Run, kind: str, settings: ExperimentConfig):
    """The network of a kind as the run has it: with the weights that it starts from; None if no phase uses it."""
    if kind not in run.kinds:
        return None
    network, weights = getattr(settings, kind), start_weights(run, settings).get(kind)
    if kind == "cloud" and run.cloud is not None:
        return run.cloud
    if weights is None:
        return network
    own = {"pretrained": ""} if kind == "image" else {}
    return network.model_copy(update={"weights": str(weights), **own})
