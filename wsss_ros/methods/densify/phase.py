"""The configuration of Densify: its superpoints, primitives, losses and schedule, as the paper has them."""

from typing import Literal

from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.geometry.superpoints import HandMadeSettings
from wsss_ros.methods.linked import LinkedPhase
from wsss_ros.samples.scene_regions import RegionChoice
from wsss_ros.types import KINDS


class PrimitiveOptions(Config):
    """How superpoints are found and clustered into primitives."""

    superpoints: RegionChoice = Field(
        "densify", description="Superpoints of a cloud: settings or the name of some; densify_s3dis for S3DIS."
    )
    hand_made: HandMadeSettings = Field(HandMadeSettings(), description="Hand-made features of superpoints.")
    primitives: int = Field(300, ge=1, description="Primitives, K: clusters of the superpoints of all scenes.")
    superpoints_per_primitive: int = Field(
        1, ge=1, description="Superpoints for each primitive on average, at least: few scenes have fewer primitives."
    )
    color: float = Field(3.0, ge=0, description="Weight of the colour among the features of a superpoint.")
    shape: float = Field(3.0, ge=0, description="Weight of the histogram of normal products among these features.")


class DensifyPhase(LinkedPhase, PrimitiveOptions):
    """The cloud network from tags of scenes, with primitives (eq. 1). The defaults are the paper's.

    With an optimiser for the image network, this learns as well: from its tags, and, with ``image_to_point`` and
    ``point_to_image``, from points at its pixels, as in the joint method.
    """

    method: Literal["densify"]
    image_to_point: float = Field(0.0, ge=0, description="Weight of the 2D-to-3D loss of the joint method; 0: without.")
    point_to_image: float = Field(0.0, ge=0, description="Weight of the 3D-to-2D loss of the joint method; 0: without.")

    classification: float = Field(1.0, ge=0, description="Weight of the classification of clouds, L_cam (eq. 2).")
    classification_reduction: Literal["sum", "mean"] = Field(
        "sum", description="How L_cam is reduced over the classes; sum: eq. 3."
    )
    primitive: float = Field(1.0, ge=0, description="Weight of L_us (eq. 5): points are nearest to their primitive.")
    similarity: Literal["dot", "cosine"] = Field(
        "dot", description="dot: eq. 5. cosine: the features are scaled to length 1 first, as in GrowSP."
    )
    temperature: float = Field(0.2, gt=0, description="Divisor of the products with 'similarity: cosine'.")
    match: float = Field(1.0, ge=0, description="Weight of L_match (eq. 9): primitives learn their matched class.")
    matching: Literal["bipartite", "naive"] = Field(
        "bipartite",
        description="bipartite: each tag wins another primitive (eq. 6). naive: each primitive takes its best tag, and "
        "the best primitive of a tag keeps it (table 4).",
    )

    cluster_every: int = Field(
        10, ge=0, description="Epochs from one clustering to the next; 0: once, at the start of the phase (table 3)."
    )
    hand_made_epochs: int = Field(
        250, ge=0, description="First epochs, in which hand-made features take part in the clustering (warm-up)."
    )
    match_from: int = Field(60, ge=0, description="First epoch with L_match: before it the classifier is too poor.")
    groups: int = Field(
        120,
        ge=0,
        description="Groups of primitives after hand_made_epochs: the classes of a scene's primitives spread within a "
        "group, and those that differ in a group are dropped. 0: without groups.",
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """The cloud network; the image network as well, if it learns or teaches."""
        return KINDS if self.image is not None or self.image_to_point else ("cloud",)

    @property
    def clusters(self) -> bool:
        """Whether a loss needs primitives."""
        return max(self.primitive, self.match) > 0

    def continued(self, epochs: int, batch: int) -> "DensifyPhase":
        """The phase for a trained network: matching from the start, with its own features, and fewer primitives."""
        schedule = {"match_from": 0, "hand_made_epochs": 0, "warmup_epochs": 0}
        few = max(self.superpoints_per_primitive, 4)  # the scenes of a round have few superpoints
        return self.model_copy(update={"epochs": epochs, "batch": batch, "superpoints_per_primitive": few, **schedule})
