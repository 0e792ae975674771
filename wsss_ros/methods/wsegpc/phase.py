"""The configuration of stage one of WSegPC: its losses, schedule, teachers and samples, as the paper has them."""

from typing import Literal

from pydantic import Field

from wsss_ros.methods.method import PairedPhase, TaggedPhase
from wsss_ros.methods.wsegpc.guidance import Distillation
from wsss_ros.samples.augment_tags import MixSettings, StructureRemoval
from wsss_ros.samples.augment_views import ViewSettings
from wsss_ros.samples.scene_regions import RegionChoice


class WsegpcPhase(PairedPhase, TaggedPhase):
    """Both networks from tags of scenes, with guidance between them and consistency with regions (eq. 9).

    The defaults are the paper's. It trains two phases: the first with ``rpc_3d`` and ``rpc_2d`` 0.
    """

    method: Literal["wsegpc"]
    images_per_cloud: int = Field(6, ge=1, description="Images of each cloud in a step.")
    image_tags: Literal["scene", "image"] = Field(
        "scene",
        description="What the image network is classified by: scene: the mean scores over all views of a scene by the "
        "scene's tags, as in the paper. image: the scores of each image by its own tags.",
    )

    image_to_point: float = Field(
        0.05, ge=0, description="Weight of the guidance of the cloud network by images, alpha; 0 leaves it out."
    )
    point_to_image: float = Field(
        0.05, ge=0, description="Weight of the guidance of the image network by points, alpha; 0 leaves it out."
    )
    image_to_point_loss: Distillation = Field(
        "contrastive", description="Loss from images to points (table 3): contrastive (eq. 1), affinity, mse or cam."
    )
    point_to_image_loss: Distillation = Field("contrastive", description="Loss from points to images (table 3).")
    temperature: float = Field(0.07, gt=0, description="Temperature of eq. 1.")
    pairs_per_view: int = Field(512, ge=1, description="Most pairs of a point and a pixel drawn from one view.")
    pairs: int = Field(512, ge=1, description="Most pairs of a scene in a step, drawn from those of its views.")
    min_links: int = Field(65, ge=1, description="A view that shows fewer points of the cloud gives no pairs.")
    over_scenes: Literal["sum", "mean"] = Field(
        "sum", description="The guidance of the scenes of a step is added up, as in the authors' code, or averaged."
    )
    classification_warmup: int = Field(
        2400, ge=0, description="Steps in which the weights of the classification losses rise to 1."
    )
    guidance_warmup: int = Field(2400, ge=0, description="Steps in which the weights of the guidance rise.")

    rpc_3d: float = Field(1.0, ge=0, description="Weight of the consistency of points, beta of eq. 9; 0: without.")
    rpc_2d: float = Field(1.0, ge=0, description="Weight of the consistency of pixels, beta of eq. 9; 0: without.")
    regions: RegionChoice = Field(
        "wypr", description="Regions of points and pixels (table 4): settings or the name of some. wypr: the paper."
    )
    consistency: Literal["region", "point"] = Field(
        "region", description="What teaches a point: the mean of its region (eq. 2), or the teacher's own output there."
    )
    threshold: Literal["adaptive", "accumulated", "fixed"] = Field(
        "adaptive",
        description="Threshold of each class: adaptive: from the predictions of the step (eqs. 5-6); accumulated: from "
        "those selected in all steps so far, as in the authors' code; fixed: eta.",
    )
    centring: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Subtract this share of the teacher's mean score of each class, over the cloud or image, before "
        "the softmax of eq. 3: classification trains this mean, which does not tell where the class is; 0: the paper.",
    )
    eta: float = Field(0.8, ge=0, lt=1, description="Base threshold eta (eq. 6).")
    rpc_warmup: int = Field(2400, ge=0, description="Steps in which the weights of the consistency rise.")

    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the averaged weights, in each step. They teach, and they are the result.",
    )
    ema_warmup: bool = Field(
        False,
        description="Lower the decay in the first steps, to (1 + n) / (10 + n) in step n: a short phase then does not "
        "end with an average of its first steps.",
    )

    views: ViewSettings = Field(ViewSettings(), description="Views of student and teacher.")
    removal: StructureRemoval = Field(StructureRemoval(), description="Clouds that lose their floor or walls.")
    mix3d: MixSettings = Field(MixSettings(), description="Steps whose clouds are mixed in pairs (Mix3D).")

    @property
    def needs_regions(self) -> bool:
        """Whether anything depends on the regions."""
        removed = max(self.removal.floor, self.removal.wall, self.removal.ceiling)
        return max(self.rpc_3d, self.rpc_2d, removed) > 0

    def continued(self, epochs: int, batch: int) -> "WsegpcPhase":
        """The phase for trained networks: without warm-up of the losses, and short enough for the average to follow."""
        same = {"classification_warmup": 0, "guidance_warmup": 0, "rpc_warmup": 0, "ema_warmup": True}
        return self.model_copy(update={"epochs": epochs, "batch": batch, **same})
