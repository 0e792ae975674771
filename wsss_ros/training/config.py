"""The configuration of a training run."""

from typing import ClassVar, Literal

from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.methods import Phase
from wsss_ros.training.data import DataConfig
from wsss_ros.training.network_files import CloudNetworkConfig, ExportConfig, ImageNetworkConfig


class TrainConfig(Config):
    """A training run: its networks, its data, and its phases in order."""

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}

    output: str = Field(description="Folder of this run: weights, resolved config, scores, curves.")
    labels: str = Field("config/labels/scannet20.yaml", description="Label file, or checkpoint, with the classes.")
    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    devices: int = Field(1, ge=1, description="Devices (or CPU processes) of each machine that share a batch.")
    machines: int = Field(1, ge=1, description="Machines that share a batch; start the command on each.")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Arithmetic while training.")
    save_every_s: float = Field(300.0, ge=0, description="Seconds between two saved states; 0: after each step.")
    data: DataConfig
    image: ImageNetworkConfig | None = None
    cloud: CloudNetworkConfig | None = None
    phases: tuple[Phase, ...]
    calibrate: bool = Field(
        False, description="Fit the confidence of the finished networks to the val scenes (wsss calibrate)."
    )
    export: ExportConfig | None = None
