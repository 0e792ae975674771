"""What can be set about an ablation: its data, its networks, and the phases that its rows share."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from wsss_ros.config import Config
from wsss_ros.methods import Phase
from wsss_ros.methods.classify import ClassifyPhase
from wsss_ros.methods.joint import JointPhase
from wsss_ros.training.data import DataConfig
from wsss_ros.training.network_files import CloudNetworkConfig, ImageNetworkConfig
from wsss_ros.training.scene_set import SceneSetConfig


class PretrainConfig(Config):
    """Training before phase one, once for all seeds and rows. It stands in for the paper's ImageNet weights."""

    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")
    data: SceneSetConfig | None = Field(None, description="Other scenes to train on; without it those of data.train.")
    phases: tuple[Phase, ...]


class AblationConfig(Config):
    """The rows of the paper's Table 2. Each seed has one phase one, from which the joint phase of each row starts."""

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
    classify: tuple[ClassifyPhase, ...] = Field(min_length=1, description="Phase one, shared by all rows of a seed.")
    joint: JointPhase = Field(description="Phase two with both losses; rows leave parts of it out.")

    @model_validator(mode="after")
    def _one_folder_of_scenes(self) -> "AblationConfig":
        if self.data.train is None:
            raise ValueError("data.sources: the rows of an ablation train on one folder of scenes; give data.train")
        return self
