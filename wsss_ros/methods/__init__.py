"""Methods by name: one file and one row each."""

from typing import Annotated, Any

from pydantic import Field

from wsss_ros.methods.classify import Classify, ClassifyPhase
from wsss_ros.methods.joint import Joint, JointPhase
from wsss_ros.methods.method import Method
from wsss_ros.methods.recognise import Recognise, RecognisePhase
from wsss_ros.methods.supervised import Supervised, SupervisedPhase

METHODS: dict[str, type[Method[Any]]] = {
    "recognise": Recognise,
    "classify": Classify,
    "joint": Joint,
    "supervised": Supervised,
}
# A phase in a configuration: the key ``method`` chooses among the configurations of the methods.
Phase = Annotated[RecognisePhase | ClassifyPhase | JointPhase | SupervisedPhase, Field(discriminator="method")]
