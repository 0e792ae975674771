"""The results of a comparison of methods: an entry for each row, seed and set, and the tables of the papers."""

from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

from wsss_ros.ablation.experiment import PRETRAIN, Run
from wsss_ros.ablation.methods_settings import TRAIN, MethodsConfig, TableConfig
from wsss_ros.ablation.results import DOMAINS, came_out, compare, figure, finished, scores_and_origin
from wsss_ros.files import read_json


def collect(settings: MethodsConfig) -> list[dict]:
    """List an entry for each finished run and set, rows in the order of the configuration.

    ``seconds`` are those of all runs of the row, without what is trained before all rows; several rows may share some
    of them. A run of another configuration is left out with a warning. Raises BadInput when no run is finished.
    """
    entries = []
    for row, run in finished(settings):
        about = settings.rows[row]
        for chosen in [*([] if about.pseudo_labels is None else [TRAIN]), *settings.scene_sets]:
            of_run = scores_and_origin(run, settings.set_of(row, chosen), settings)
            scores = {f"miou_{domain}": None for domain in DOMAINS}
            entry = {"method": about.method, "row": row, "set": chosen, "seed": run.seed, **scores, **of_run}
            phases = list(chain.from_iterable(about.runs))
            entries.append({**entry, "phases": phases, "seconds": round(_seconds(run, settings), 1)})
    return entries


def _seconds(run: Run, settings: MethodsConfig) -> float:
    files = [Path(settings.output) / each.name / "run.json" for each in run.chain if each.name != PRETRAIN]
    return sum(read_json(file)["seconds"] for file in files)


def missing(entries: Sequence[dict], table: TableConfig) -> list[str]:
    """The rows of a table that have no score on its set."""
    there = {entry["row"] for entry in entries if entry["set"] == table.set}
    return [each.row for each in table.rows if each.row not in there]


def orders(entries: Sequence[dict], table: TableConfig) -> list[str]:
    """For each domain of a table a sentence on whether our rows have the order of the paper's.

    Rows follow each other by the paper's numbers; rows with the same number are not compared with each other.
    """
    sentences = []
    for domain in DOMAINS:
        ranked = sorted(
            (paper, each.row)
            for each in table.rows
            if (paper := getattr(each, f"paper_{domain}")) is not None
            and figure(entries, each.row, table.set, domain) is not None
        )
        pairs = [(low, high) for low, high in pairwise(ranked) if low[0] < high[0]]
        found = [compare(entries, low[1], high[1], table.set, domain) for low, high in pairs]
        comparisons = [each for each in found if each is not None]
        if comparisons:
            chain = " < ".join(row for _, row in ranked)
            sentences.append(f"Order of the paper in {domain.upper()}, {chain}: {came_out(comparisons)}.")
    return sentences
