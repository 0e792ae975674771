"""Methods by name: one file and one row each."""

from typing import Annotated

from pydantic import Field

from wsss_ros.methods.classify import Classify
from wsss_ros.methods.joint import Joint
from wsss_ros.methods.method import Method
from wsss_ros.methods.recognise import Recognise
from wsss_ros.methods.supervised import Supervised

METHODS: dict[str, type[Method]] = {
    "recognise": Recognise,
    "classify": Classify,
    "joint": Joint,
    "supervised": Supervised,
}
# A phase in a configuration: the key ``method`` chooses among the configurations of the methods.
Phase = Annotated[
    Recognise.Phase | Classify.Phase | Joint.Phase | Supervised.Phase, Field(discriminator="method")
]
