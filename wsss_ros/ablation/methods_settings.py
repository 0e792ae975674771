"""What can be set about a comparison of methods: phases by name, rows that are lists of phases, tables of rows."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal

from pydantic import Field, model_validator

from wsss_ros.ablation.experiment import ExperimentConfig, PseudoLabelsConfig, Run, ScoredSet
from wsss_ros.config import Config
from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.methods import Phase
from wsss_ros.training.network_files import CloudNetworkConfig
from wsss_ros.training.scene_set import RemovedClasses

TRAIN = "train"  # the set of pseudo-labels, in tables and results


class RowConfig(Config):
    """One row: phases that are trained one after the other."""

    method: Literal["cls", "joint", "supervised", "wsegpc", "densify", "2d3dnet"] = Field(
        description="The method that the row belongs to, in the results."
    )
    title: str = Field("", description="What is trained, for the tables.")
    phases: tuple[str | tuple[str, ...], ...] = Field(
        min_length=1,
        description="Names of phases. Rows share equal first ones, each trained in a run of its own. Phases in a list "
        "of their own are trained in one run: what the method itself has learned then goes on in the next phase.",
    )
    removed: RemovedClasses | None = Field(
        None, description="Classes that some training scenes lose in the runs of this row (Densify, table 2)."
    )
    pseudo_labels: PseudoLabelsConfig | None = Field(
        None, description="Score the labels that the networks give to the training scenes, whose tags they know."
    )
    cloud: str = Field(
        "", description="Name of the cloud network that the last run trains, from random weights; empty: that of all."
    )
    fused: FusedInput | None = Field(
        None, description="Score, in place of the cloud network, the labels of the image network fused in this way."
    )

    @model_validator(mode="after")
    def _scores_fit_the_networks(self) -> "RowConfig":
        if self.pseudo_labels is not None and (self.cloud or self.fused is not None):
            raise ValueError("pseudo_labels: those of a row with 'cloud' or 'fused' are not scored; remove one of them")
        return self

    @property
    def runs(self) -> tuple[tuple[str, ...], ...]:
        """The names of the phases of each run."""
        return tuple((each,) if isinstance(each, str) else each for each in self.phases)


class TableRowConfig(Config):
    """A row of a table, with the number of the paper."""

    row: str = Field(description="Name of a row. One that is not among 'rows' is shown as missing.")
    title: str = Field("", description="What the paper calls it; without it the title of the row.")
    paper_2d: float | None = Field(None, description="mIoU of the paper, percent.")
    paper_3d: float | None = Field(None, description="mIoU of the paper, percent.")


class TableConfig(Config):
    """A table of a paper, filled with our numbers."""

    title: str = Field(description="Heading.")
    text: str = Field("", description="What it shows, and what the paper's numbers are measured on.")
    set: Literal["train", "val", "other"] = Field("train", description="train: pseudo-labels of the training scenes.")
    rows: tuple[TableRowConfig, ...] = Field(min_length=1)


class MethodsConfig(ExperimentConfig):
    """Rows of several methods. Each phase is trained in a run of its own, once for all rows that begin alike."""

    results: str = Field("docs/methods", description="Path of .json and .md and start of the names of their pictures.")
    phases: dict[str, Phase] = Field(
        description="Phases by name. 'like: NAME' takes the options of another one, of which some may differ."
    )
    networks: dict[str, CloudNetworkConfig] = Field(
        default_factory=dict, description="Further cloud networks by name, for the rows that name one."
    )
    rows: dict[str, RowConfig] = Field(min_length=1)
    tables: tuple[TableConfig, ...] = ()
    shown: tuple[str, ...] = Field((), description="Rows in the pictures; without it those of the first table.")

    @model_validator(mode="before")
    @classmethod
    def _resolve_likes(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("phases"), dict):
            return values
        phases = values["phases"]
        return {**values, "phases": {name: resolved(name, phases) for name in phases}}

    @model_validator(mode="after")
    def _known_phases(self) -> "MethodsConfig":
        for name, row in self.rows.items():
            for phase in chain.from_iterable(row.runs):
                if phase not in self.phases:
                    raise ValueError(f"rows.{name}: no phase '{phase}'; there are: {', '.join(self.phases)}")
            if row.cloud and row.cloud not in self.networks:
                raise ValueError(f"rows.{name}: no network '{row.cloud}'; there are: {', '.join(self.networks)}")
            used = {kind for phase in chain.from_iterable(row.runs) for kind in self.phases[phase].networks}
            if row.fused is not None and "image" not in used:
                raise ValueError(f"rows.{name}: 'fused' needs labels of an image network; add a phase that has one")
        return self

    @property
    def scored_sets(self) -> dict[str, ScoredSet]:
        """The sets of networks, and for each row with pseudo-labels the training scenes."""
        labelled = {name: row.pseudo_labels for name, row in self.rows.items() if row.pseudo_labels is not None}
        pseudo = {f"{TRAIN}.{name}": ScoredSet(self.train, given) for name, given in labelled.items()}
        fused = {
            f"{place}.{name}": ScoredSet(scenes, fused=row.fused)
            for name, row in self.rows.items()
            for place, scenes in self.scene_sets.items()
            if row.fused is not None
        }
        return {**super().scored_sets, **pseudo, **fused}

    @property
    def row_names(self) -> tuple[str, ...]:
        """The rows, in the order of the configuration."""
        return tuple(self.rows)

    def run_of(self, row: str, seed: int) -> Run:
        """The run of the last phase of a row, after the runs of those before. Rows end in a run that is scored."""
        run, parts, own = self.pretraining(), self.rows[row].runs, self.rows[row].cloud
        removed = self.rows[row].removed
        train = self.train if removed is None else self.train.model_copy(update={"removed": removed})
        for count, names in enumerate(parts, start=1):
            name = f"seed{seed}/{_start(removed)}{'+'.join('-'.join(part) for part in parts[:count])}"
            phases = tuple(self.phases[each] for each in names)
            if own and count == len(parts):
                sets = self._sets(parts, removed, own)
                run = Run(f"{name}@{own}", seed, phases, train, run, sets, self.networks[own])
            else:
                run = Run(name, seed, phases, train, run, self._sets(parts[:count], removed))
        assert run is not None  # a row has phases
        return run

    def set_of(self, row: str, chosen: str) -> str:
        """The name among ``scored_sets`` of what a table calls train, val or other."""
        of_row = chosen == TRAIN or self.rows[row].fused is not None
        return f"{chosen}.{row}" if of_row else chosen

    def _sets(
        self, parts: tuple[tuple[str, ...], ...], removed: RemovedClasses | None, cloud: str = ""
    ) -> tuple[str, ...]:
        """What is scored after these runs: the networks, pseudo-labels and fused labels of the rows that end here."""
        ended = parts, removed, cloud
        ends = [name for name, row in self.rows.items() if (row.runs, row.removed, row.cloud) == ended]
        pseudo = [self.set_of(name, TRAIN) for name in ends if self.rows[name].pseudo_labels is not None]
        scored = [self.set_of(name, each) for name in ends for each in self.scene_sets]
        return (*dict.fromkeys(scored), *pseudo)


def _start(removed: RemovedClasses | None) -> str:
    """The start of the name of a run with fewer classes in some scenes."""
    if removed is None:
        return ""
    lost = "-".join(f"{count}-{name}" for name, count in removed.classes.items())
    return f"without-{lost}-{removed.seed}/"


def resolved(name: str, phases: Mapping[str, Any]) -> Any:
    """The options of a phase with those of the phase that it is ``like``. Options that have parts are merged.

    Raises ValueError for an unknown name and for a circle.
    """
    own, seen = phases[name], [name]
    while isinstance(own, dict) and "like" in own:
        other = own["like"]
        if other not in phases or other in seen:
            what = "is like itself" if other in phases else f"no phase '{other}'; there are: {', '.join(phases)}"
            raise ValueError(f"phases.{name}: {what}")
        seen.append(other)
        own = merged(phases[other], {key: value for key, value in own.items() if key != "like"})
    return own


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``change``; where both have a dictionary, merged in turn."""
    both = {key for key in change if isinstance(change[key], dict) and isinstance(base.get(key), dict)}
    return {**base, **change, **{key: merged(base[key], change[key]) for key in both}}
