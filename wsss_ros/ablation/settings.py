"""What can be set about the ablation of the joint paper: the phases that its rows share."""

from pydantic import Field, model_validator

from wsss_ros.ablation.experiment import ExperimentConfig, Run
from wsss_ros.ablation.rows import ROWS, phase_of
from wsss_ros.methods.classify import ClassifyPhase
from wsss_ros.methods.joint import JointPhase
from wsss_ros.types import KINDS

PHASE_ONE = "phase_one"


class AblationConfig(ExperimentConfig):
    """The rows of the paper's Table 2. Each seed has one phase one, from which the joint phase of each row starts."""

    classify: tuple[ClassifyPhase, ...] = Field(min_length=1, description="Phase one, shared by all rows of a seed.")
    joint: JointPhase = Field(description="Phase two with both losses; rows leave parts of it out.")

    @model_validator(mode="after")
    def _phase_one_trains_both(self) -> "AblationConfig":
        for kind in KINDS:
            if not any(getattr(phase, kind) for phase in self.classify):
                raise ValueError(f"classify: no phase trains the {kind} network; give one an optimiser under '{kind}:'")
        return self

    @property
    def row_names(self) -> tuple[str, ...]:
        """The rows of ROWS."""
        return tuple(ROWS)

    def run_of(self, row: str, seed: int) -> Run:
        """Phase two of a row. It is scored on all sets; phase one, from which all rows start, on val alone."""
        first = Run(f"seed{seed}/{PHASE_ONE}", seed, self.classify, self.train, self.pretraining(), ("val",))
        sets = tuple(self.scene_sets)
        return Run(f"seed{seed}/{row}", seed, (phase_of(row, self.joint),), self.train, first, sets)
