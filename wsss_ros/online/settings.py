"""Settings of learning on the robot: the store of scenes, the rounds, and the recipe for the training of a round."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from wsss_ros.config import Config, load, share, warn_renamed
from wsss_ros.methods import Phase
from wsss_ros.training.network_files import CloudNetworkConfig, ImageNetworkConfig
from wsss_ros.training.scene_set import SceneSetConfig


class StoreConfig(Config):
    """Which frames of a tagged scene are kept, when a scene ends automatically, and how much disk scenes may take."""

    min_shift_m: float = Field(0.25, ge=0, le=10, description="A frame is kept if no kept one is as near as this,")
    min_turn_deg: float = Field(15.0, ge=0, le=180, description="or looks in the same direction within this.")
    max_frames: int = Field(120, ge=1, le=10_000, description="Frames of one scene; more views are not kept.")
    min_frames: int = Field(3, ge=1, le=1000, description="A scene with fewer is discarded when it ends.")
    end_distance_m: float = Field(8.0, ge=0, le=1000, description="A view this far from the first ends it; 0: never.")
    end_silence_s: float = Field(20.0, ge=0, le=3600, description="This time without a frame ends the scene; 0: never.")
    end_duration_s: float = Field(600.0, ge=0, le=86_400, description="A scene ends after this time; 0: never.")
    end_overlap: float = Field(
        0.0, ge=0, le=1, description="A view of which the scene saw less than this share ends it; 0: never."
    )
    tag_tolerance_s: float = Field(1.0, ge=0, le=60, description="Largest time between an image tag and its view.")
    complete_tags: bool = Field(
        True, description="A class that a list of tags does not name is absent; false: it is unknown."
    )
    voxel_size_m: float = Field(0.02, ge=0.005, le=1, description="Edge of a voxel of a scene's cloud; one point each.")
    max_depth_m: float = Field(5.0, gt=0, le=100, description="Farther pixels are not in a scene's cloud.")
    max_points: int = Field(500_000, ge=1000, le=20_000_000, description="Most points of a scene's cloud.")
    max_scenes: int = Field(200, ge=2, le=100_000, description="Most scenes kept; scenes of common classes go first.")
    max_gb: float = Field(20.0, gt=0, le=10_000, description="Disk space that the scenes may take, GB.")


class OnlineConfig(StoreConfig):
    """Learning on the robot: what is collected, when a round starts, how it trains, what the gate accepts."""

    folder: str = Field("~/.wsss_ros/online", description="Scenes, rounds and weights; one learner at a time.")
    recipe: str = Field("config/online.yaml", description="Networks, optimisers and losses of a round.")
    label_space: str = Field("", description="Label file, or checkpoint, with the classes; empty: that of the recipe.")
    image_weights: str = Field("", description="Image checkpoint to start from; empty: the one that ships.")
    cloud_weights: str = Field("", description="Cloud checkpoint to start from; empty: the one that ships.")
    round_scenes: int = Field(4, ge=0, le=1000, description="New tagged scenes that start a round; 0: only ~/train.")
    held_out_every: int = Field(4, ge=2, le=100, description="Every n-th scene is only for the gate.")
    steps: int = Field(60, ge=1, le=100_000, description="Steps of a round.")
    replay: float = Field(1.0, ge=0, le=100, description="Replayed scenes of the memory for each new one in a round.")
    base: float = Field(1.0, ge=0, le=100, description="Scenes of the recipe's base set for each new one in a round.")
    tolerance: float = Field(
        0.1, ge=0, le=1, description="A network is refused if held-out tags of it fall by more, whatever the noise,"
    )
    significance: float = Field(
        0.02, ge=0, le=1, description="or if noise explains a fall of a score with a probability below this; 0: never."
    )
    label_tolerance: float = Field(
        0.02,
        ge=0,
        le=1,
        description="A network is refused if its mean IoU on simulated held-out rooms (base_held_out of a recipe with "
        "base_dense) falls by more.",
    )
    spike: float = Field(5.0, gt=1, le=1000, description="A loss this many times its median so far ends the round.")
    keep_refused: bool = Field(False, description="Keep the weights of refused networks, in rounds/NUMBER/run.")
    keep_versions: int = Field(10, ge=2, le=1000, description="Versions kept for ~/rollback; older ones are deleted.")
    round_device: str = Field("auto", description="Device of the training: auto, cpu, cuda or cuda:N.")
    round_threads: int = Field(1, ge=0, le=256, description="CPU threads of the training; 0: torch decides.")
    seed: int = Field(0, ge=0, description="Seed of the rounds.")


class OnlineRecipe(Config):
    """How a round of online learning trains: a list of phases, as in a training run, on the scenes of the robot.

    ``OnlineConfig.steps`` is the length of a round; the phases share these steps in proportion to their ``epochs``.
    """

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}

    @model_validator(mode="before")
    @classmethod
    def _read_joint(cls, values: Any) -> Any:
        """Read a recipe of an earlier release, which has one phase under the key ``joint``."""
        if not isinstance(values, dict) or "joint" not in values:
            return values
        warn_renamed("joint", "phases")
        rest = {key: value for key, value in values.items() if key != "joint"}
        return {"phases": [values["joint"]], **rest}

    @field_validator("base", "base_held_out")
    @classmethod
    def _check_complete(cls, value: SceneSetConfig | None) -> SceneSetConfig | None:
        """A round mixes scenes of several sources, so each scene has to say itself what its lists mean."""
        if value is not None and not value.complete:
            raise ValueError('"complete": false is a key of the tags.json of each of its scenes; write it there')
        return value

    labels: str = Field("config/labels/scannet20.yaml", description="Label space.")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Arithmetic while training.")
    image: ImageNetworkConfig
    cloud: CloudNetworkConfig
    phases: tuple[Phase, ...] = Field(min_length=1, description="What a round trains, one after the other.")
    base: SceneSetConfig | None = Field(None, description="Earlier tagged scenes, mixed into every round.")
    base_dense: bool = Field(
        False,
        description="The base scenes are simulated: methods that learn from dense labels may use theirs, and the gate "
        "reads those of base_held_out.",
    )
    base_held_out: SceneSetConfig | None = Field(None, description="Earlier tagged scenes that the gate scores.")
    frames_per_scene: int = Field(40, ge=0, description="Frames used of each scene, spread evenly; 0 for all.")
    held_out_frames: int = Field(8, ge=1, description="Frames of each held-out scene that the gate scores.")
    new_share: float = Field(
        1.0, gt=0, le=1, description="Share of the trained weights in the candidate; the rest are the old weights."
    )
    held_out_scenes: int = Field(12, ge=1, description="Most scenes of each held-out set that the gate scores.")
    save_every_s: float = Field(20.0, ge=0, description="Time between two saved states of a round.")
    visibility_m: float = Field(0.05, gt=0, le=1, description="A point is seen where depth differs by no more.")


def recipe_of(config: OnlineConfig) -> OnlineRecipe:
    """Load the recipe that ``config`` names, a file or one that ships, with the label file of ``config`` if it has one.

    Raises BadInput for a broken recipe.
    """
    path = Path(config.recipe)
    recipe = load(OnlineRecipe, path if path.exists() else share(config.recipe))
    return recipe.model_copy(update={"labels": config.label_space}) if config.label_space else recipe
