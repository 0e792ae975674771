"""Typed, strict configuration. An unknown key is an error that names the nearest one.

The models here are the one place for defaults, ranges and descriptions: YAML files, ROS parameters
and command-line help are all derived from them.
"""

import difflib
import functools
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wsss_ros.types import KINDS, BadInput

Model = TypeVar("Model", bound="Config")
log = logging.getLogger("wsss_ros")


class Config(BaseModel):
    """Base of all configuration: frozen, and without room for a misspelt key."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[dict[str, str]] = {}  # previous name of a key -> its name now

    @model_validator(mode="before")
    @classmethod
    def _read_previous_names(cls, values: Any) -> Any:
        """Keys under their previous names are read, with one warning for each name."""
        if not isinstance(values, dict) or not cls.renamed.keys() & values.keys():
            return values
        for old in cls.renamed.keys() & values.keys():
            _warn_once(old, cls.renamed[old])
        return {cls.renamed.get(key, key): value for key, value in values.items()}


@functools.cache
def _warn_once(old: str, new: str) -> None:
    log.warning("the key '%s' is now '%s'; the previous name is still read", old, new)


def build(model: type[Model], values: dict, source: str = "configuration") -> Model:
    """Validate ``values``. Raises BadInput that lists every fault in one line each."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_explain(fault, model) for fault in error.errors())
        raise BadInput(f"{source}: {faults}") from error


def load(model: type[Model], path: str | Path) -> Model:
    """Read a YAML file into ``model``. Raises BadInput on a missing or broken file."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path}: wanted 'key: value' lines, got a {type(values).__name__}")
    return build(model, values, str(path))


def _explain(fault: dict, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = sorted(_known_keys(model, fault["loc"][:-1]))
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.0)
        hint = f"; the nearest is '{near[0]}' of {', '.join(known)}" if near else ""
        return f"unknown key '{where}'{hint}"
    return f"{where}: {fault['msg'].lower()}, got {fault['input']!r}"


def _known_keys(model: type[BaseModel], path: tuple) -> set[str]:
    """The keys of the model at ``path``; of all models that may stand there, where that is open."""
    models = [model]
    for part in path:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:
            models = [found for field in fields for found in _models(field.annotation)]
        elif isinstance(part, str):  # no field: the tag that chooses among several models; a number: a place in a list
            models = [each for each in models if _has_tag(each, part)]
    return {key for each in models for key in each.model_fields}


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    return any(tag in get_args(field.annotation) for field in model.model_fields.values())


def _models(annotation) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def share(name: str) -> Path:
    """A file of ``config/`` or ``launch/``, in a source tree or where setup.py installed it."""
    package = Path(__file__).resolve().parent
    roots = [
        package.parent,
        *(up / "share" / "wsss_ros" for up in package.parents),
        Path(sys.prefix) / "share/wsss_ros",
    ]
    for root in roots:
        if (root / name).exists():
            return root / name
    raise BadInput(f"'{name}' of wsss_ros is not installed; looked below {', '.join(map(str, roots))}")


class RoomsConfig(Config):
    scenes: int = Field(ge=1, le=100_000, description="How many rooms to generate.")
    seed: int = Field(ge=0, description="Seed of the first room; the others follow.")
    frames: int = Field(0, ge=0, description="Views of each room; 0 for 60 to 120, by its seed.")
    style: str = Field("default", description="Tables of looks, by name (data/room_style.py).")
    kinds: tuple[str, ...] = Field((), description="Kinds of rooms to choose from; empty for those of the style.")
    size: tuple[int, int] = Field((320, 240), description="Width and height of the views, pixels.")

    @property
    def options(self) -> dict:
        """What ``data.rooms.generate`` takes beside the folder and the seed."""
        return dict(frames=self.frames or None, style=self.style, kinds=self.kinds, size=self.size)


class SceneSetConfig(Config):
    """Scenes below a folder; with ``rooms`` they are generated there first where they are missing."""

    folder: str = Field(description="Folder of scene folders.")
    scenes: str = Field("", description="Text file with one scene name a line (ScanNet's lists); empty takes all.")
    rooms: RoomsConfig | None = Field(None, description="Generate procedural rooms into the folder.")


class DataConfig(Config):
    train: SceneSetConfig
    val: SceneSetConfig | None = Field(None, description="Labelled scenes that are scored after training.")
    frames_per_scene: int = Field(17, ge=0, description="Frames used of each scene, spread evenly; 0 for all.")
    val_frames_per_scene: int = Field(10, ge=0, description="Frames scored of each val scene; 0 for all.")
    visibility_m: float = Field(0.05, gt=0, le=1, description="A point is seen where depth differs by no more.")
    cache: str = Field("out/cache", description="Folder of decoded scenes, shared by all runs; may be deleted.")
    workers: int = Field(0, ge=0, le=128, description="Processes that load samples; 0 loads between the steps.")


class ImageAugment(Config):
    long_side: tuple[int, int] = Field((256, 512), description="Range the longer side is rescaled to, pixels.")
    crop: int = Field(256, ge=32, le=2048, description="Edge of the square crop, pixels.")
    jitter: tuple[float, float, float, float] = Field(
        (0.3, 0.3, 0.3, 0.1), description="Colour jitter: brightness, contrast, saturation, hue."
    )


class CloudAugment(Config):
    points: int = Field(40_000, ge=256, description="Points of one sample; repeated when the cloud has fewer.")
    rotation_deg: float = Field(5.0, ge=0, le=180, description="Rotation about the upright axis, plus or minus.")
    flip: bool = Field(True, description="Mirror along x and y, each with p = 0.5.")


class ImageNetworkConfig(Config):
    network: str = Field("resnet", description="Image network by name.")
    options: dict = Field(default_factory=dict, description="Its options while training.")
    inference_options: dict = Field(default_factory=dict, description="Options that differ at inference (stride).")
    long_side: int = Field(384, ge=0, description="Longer side of an image at inference, pixels; 0 leaves it.")
    presence_floor: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="At inference a class to which the network gives less than this probability in the whole image "
        "(its own answer to eq. 2) wins no pixel; 0 lets all classes win everywhere.",
    )
    pretrained: str = Field("", description="Foreign weights of the backbone: MXNet .params or a torch state dict.")
    weights: str = Field("", description="Checkpoint of wsss_ros to start from.")
    augment: ImageAugment = ImageAugment()


class CloudNetworkConfig(Config):
    network: str = Field("pointnet2", description="Cloud network by name.")
    options: dict = Field(default_factory=dict, description="Its options.")
    inputs: tuple[str, ...] = Field(("color",), description="Inputs beside xyz: color, height.")
    weights: str = Field("", description="Checkpoint of wsss_ros to start from.")
    augment: CloudAugment = CloudAugment()


class OptimiserConfig(Config):
    name: Literal["sgd", "adam"] = Field("sgd", description="Optimiser.")
    lr: float = Field(gt=0, description="Initial learning rate.")
    head_lr: float = Field(
        1.0, gt=0, description="Learning rate of the linear head, as a multiple: it has to follow what joint losses "
        "make of the features."
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay (decoupled for adam).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    schedule: Literal["poly", "steps"] = Field("poly", description="poly: (1 - t)^power; steps: x0.1 at milestones.")
    power: float = Field(0.9, gt=0, description="Power of the poly schedule.")
    frozen_norm: bool = Field(
        False, description="Batch normalisation keeps its statistics: a batch of a few crops tells too little of them."
    )
    milestones: tuple[float, ...] = Field((0.6, 0.8, 0.9), description="Steps of the schedule as shares of training.")


class PhaseConfig(Config):
    """One phase of training. A network trains in it where it has an optimiser."""

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}

    epochs: int = Field(ge=1, description="Passes over the samples: images, clouds, or clouds with images of each.")
    batch: int = Field(16, ge=1, description="Samples of one step, over all devices.")
    image: OptimiserConfig | None = Field(None, description="Optimiser of the image network.")
    cloud: OptimiserConfig | None = Field(None, description="Optimiser of the cloud network.")

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that take part; in a phase of both methods below, one of them may do so without learning."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)


class CloseupsConfig(Config):
    """Pictures of single things of procedural rooms, generated into the folder where they are missing."""

    folder: str = Field(description="Folder of the pictures, one file a room.")
    scenes: int = Field(ge=1, le=100_000, description="How many rooms are photographed.")
    seed: int = Field(ge=0, description="Seed of the first room; keep it apart from those of training rooms.")
    views: int = Field(60, ge=1, description="Pictures of each room.")
    size: int = Field(96, ge=32, le=512, description="Edge of a picture, pixels.")
    style: str = Field("default", description="Tables of looks, by name (data/room_style.py).")


class RecognisePhase(PhaseConfig):
    """The image network learns to name single things: what ImageNet's weights are in the paper."""

    method: Literal["recognise"]
    closeups: CloseupsConfig
    augment: ImageAugment = ImageAugment(long_side=(72, 96), crop=64)


class PairedPhase(PhaseConfig):
    """Both networks, on clouds and images of them."""

    images_per_cloud: int = Field(1, ge=1, description="Images of each cloud in a step; the paper takes one.")

    @property
    def networks(self) -> tuple[str, ...]:
        return KINDS


class TaggedPhase(PhaseConfig):
    tag_prior: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of each tag's log-odds over the data that is added to the averaged scores of eq. 1, so that "
        "the activation maps need not say how common a class is; 0 is the paper's eq. 2.",
    )


class ClassifyPhase(TaggedPhase):
    """Each network alone, from class tags (eqs. 1-2)."""

    method: Literal["classify"]


class JointPhase(PairedPhase, TaggedPhase):
    """Both networks with the losses between them (eqs. 3-12)."""

    method: Literal["joint"]
    warmup_epochs: int = Field(0, ge=0, description="First epochs without the 3D-to-2D loss.")
    image_to_point: float = Field(1.0, ge=0, description="Weight of the 2D-to-3D loss (eq. 7); 0 leaves it out.")
    point_to_image: float = Field(1.0, ge=0, description="Weight of the 3D-to-2D loss, lambda of eq. 12.")
    confidence: Literal["sigmoid", "logit", "none"] = Field(
        "sigmoid", description="Of the largest logit (eqs. 6, 10): its sigmoid, itself, or 1 for every pixel and point."
    )
    class_reduction: Literal["mean", "sum"] = Field("mean", description="Of eq. 7's cross entropy over classes.")
    centred_features: bool = Field(
        False,
        description="Take the (weighted) mean of the features that eq. 11 compares off before eqs. 8-9: correlations, "
        "not cosines.",
    )
    correlated: Literal["image", "batch"] = Field(
        "image",
        description="Between which links eq. 11 compares features: those of one image, as in the paper, or those of "
        "all images that a device has of a step, so that a floor becomes like other rooms' floors, too. Time grows "
        "with the square of their number; max_links bounds it.",
    )
    balanced_links: bool = Field(
        False,
        description="In eqs. 7 and 11 each class that the image network sees (eq. 5) weighs alike before confidence, "
        "however many links show it; else nearly all lie on walls and floors, eq. 7 wakes little else, and one feature "
        "for all fits eq. 11 best.",
    )
    seed_centring: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the mean of each class's map over the image that is taken off before eq. 5: eqs. 1-2 "
        "teach how high a map is on average, which says nothing of where its class is; 0 is the paper.",
    )
    max_links: int = Field(0, ge=0, description="Linked points of an image used in the joint losses; 0 for all.")


class SupervisedPhase(PairedPhase):
    """Both networks from dense labels: a ceiling to compare with, not a method of this package."""

    method: Literal["supervised"]


Phase = Annotated[RecognisePhase | ClassifyPhase | JointPhase | SupervisedPhase, Field(discriminator="method")]


class ExportConfig(Config):
    folder: str = Field(description="Where the two networks go besides the output folder.")
    dtype: Literal["float32", "float16"] = Field("float16", description="Precision of the stored weights.")


class TrainConfig(Config):
    """A training run: networks, data, and the phases one after the other."""

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}

    output: str = Field(description="Folder of this run: weights, resolved config, scores, curves.")
    labels: str = Field("config/labels/scannet20.yaml", description="Label space.")
    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    devices: int = Field(1, ge=1, description="Devices (or CPU processes) of each machine that share a batch.")
    machines: int = Field(1, ge=1, description="Machines that share a batch; start the command on each.")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Arithmetic while training.")
    save_every_s: float = Field(300.0, ge=0, description="Time between two states to resume from; 0 after each step.")
    data: DataConfig
    image: ImageNetworkConfig | None = None
    cloud: CloudNetworkConfig | None = None
    phases: tuple[Phase, ...]
    export: ExportConfig | None = None
