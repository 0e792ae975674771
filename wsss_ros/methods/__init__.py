"""The training methods by name. Each method has one file or folder here and one row in ``METHODS``."""

from typing import Annotated, Any

from pydantic import Field

from wsss_ros.methods.classify import Classify, ClassifyPhase
from wsss_ros.methods.densify.labels import DensifyLabels, DensifyLabelsPhase
from wsss_ros.methods.densify.phase import DensifyPhase
from wsss_ros.methods.densify.training import Densify
from wsss_ros.methods.fusion import Fusion2d3d, FusionPhase
from wsss_ros.methods.joint import Joint, JointPhase
from wsss_ros.methods.method import Method
from wsss_ros.methods.recognise import Recognise, RecognisePhase
from wsss_ros.methods.self_training import SelfTraining, SelfTrainingPhase
from wsss_ros.methods.shared_labels import SharedLabels, SharedLabelsPhase
from wsss_ros.methods.supervised import Supervised, SupervisedPhase
from wsss_ros.methods.wsegpc.phase import WsegpcPhase
from wsss_ros.methods.wsegpc.stage_one import Wsegpc
from wsss_ros.methods.wsegpc.stage_two import WsegpcLabels, WsegpcLabelsPhase

METHODS: dict[str, type[Method[Any]]] = {
    "recognise": Recognise,
    "classify": Classify,
    "joint": Joint,
    "densify": Densify,
    "densify_labels": DensifyLabels,
    "self_training": SelfTraining,
    "shared_labels": SharedLabels,
    "supervised": Supervised,
    "fusion": Fusion2d3d,
    "wsegpc": Wsegpc,
    "wsegpc_labels": WsegpcLabels,
}
# The configuration of a phase: its key ``method`` selects the class.
Phase = Annotated[
    RecognisePhase
    | ClassifyPhase
    | JointPhase
    | DensifyPhase
    | DensifyLabelsPhase
    | SelfTrainingPhase
    | SharedLabelsPhase
    | SupervisedPhase
    | FusionPhase
    | WsegpcPhase
    | WsegpcLabelsPhase,
    Field(discriminator="method"),
]
