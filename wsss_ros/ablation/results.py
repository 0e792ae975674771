"""The results of an ablation: an entry for each run and set, comparisons of the rows, and the paper's numbers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_ros.ablation.experiment import ExperimentConfig, Run, trained_networks
from wsss_ros.ablation.one_run import is_finished
from wsss_ros.ablation.scoring import read_by_kind
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.evaluation.tables import RunStatistics
from wsss_ros.files import read_json
from wsss_ros.networks import checkpoint
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

DOMAINS = {"2d": "image", "3d": "cloud"}
# The order in which the paper's Tables 2 (ScanNet val) and 4 (S3DIS) print rows, and their mIoU in percent.
PAPER: dict[str, dict[str, dict[str, float]]] = {
    "val": {
        "2d": {"cls": 33.3, "3d_to_2d_plain": 39.2, "3d_to_2d": 41.6, "both": 44.5},
        "3d": {"cls": 16.2, "2d_to_3d_plain": 43.8, "2d_to_3d": 45.6, "both": 49.6},
    },
    "other": {
        "2d": {"cls": 36.9, "3d_to_2d": 43.3, "both": 49.5},
        "3d": {"cls": 17.5, "2d_to_3d": 48.0, "both": 54.4},
    },
}


def collect(settings: AblationConfig) -> list[dict]:
    """List an entry for each finished run and set below the output, rows in the order of ROWS.

    A run of another configuration is left out with a warning. Raises BadInput when no run is finished.
    """
    return [
        {"row": row, "seed": run.seed, "set": name, **scores_and_origin(run, name, settings)}
        for row, run in finished(settings)
        for name in settings.scene_sets
    ]


def finished(settings: ExperimentConfig) -> list[tuple[str, Run]]:
    """List the rows with a finished run for each seed that has one, in the order of the rows.

    A run of another configuration is left out with a warning. Raises BadInput when no run is finished.
    """
    found = []
    for row, run in ((row, settings.run_of(row, seed)) for row in settings.row_names for seed in _seeds(settings)):
        try:
            if (Path(settings.output) / run.name / "run.json").is_file() and is_finished(run, settings):
                found.append((row, run))
        except BadInput as error:
            log.warning("not among the results: %s: %s", run.name, error)
    if not found:
        raise BadInput(f"{settings.output}: no run of the experiment is finished; start it with 'wsss bench'")
    return found


def _seeds(settings: ExperimentConfig) -> list[int]:
    found = [path.name.removeprefix("seed") for path in Path(settings.output).glob("seed*")]
    return sorted({*settings.seeds, *(int(name) for name in found if name.isdigit())})


def scores_and_origin(run: Run, chosen: str, settings: ExperimentConfig) -> dict:
    """The scores of a finished run on a set, and how its networks came about.

    ``epochs``, ``steps`` and ``seconds`` are those of the run itself, without the runs that it starts from.
    """
    folder = Path(settings.output) / run.name
    about, scores = read_json(folder / "run.json"), read_by_kind(folder / f"scores_{chosen}.json")
    trained = {kind: checkpoint.load(file, kind) for kind, file in trained_networks(run, settings).items()}
    return {
        **{f"miou_{domain}": _rounded(scores[kind]["miou"]) for domain, kind in DOMAINS.items() if kind in scores},
        "command": about["command"],
        "weights": "-".join(each.version for each in trained.values()),
        "epochs": run.phases[-1].epochs,
        "steps": steps_of(run, trained[next(iter(run.phases[-1].optimisers))].training["samples"]),
        "seconds": about["seconds"],
        "machine": about["machine"],
        **{f"iou_{domain}": _present(scores[kind]["iou"]) for domain, kind in DOMAINS.items() if kind in scores},
    }


def steps_of(run: Run, samples: Sequence[int]) -> int:
    """The steps of the last phase of a run, which draws from so many samples in each of its phases."""
    phase, drawn = run.phases[-1], samples[-1]
    return phase.epochs * (drawn // min(phase.batch, drawn))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _present(iou: dict[str, float | None]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in iou.items() if value is not None}


def figure(entries: Sequence[dict], row: str, chosen: str, domain: str) -> RunStatistics | None:
    """Statistics of the mIoU (percent) over seeds; None where no run of the row was scored."""
    scored = [entry.get(f"miou_{domain}") for entry in entries if (entry["row"], entry["set"]) == (row, chosen)]
    values = tuple(value for value in scored if value is not None)
    return RunStatistics(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """The row ``better`` against the row ``worse`` in one domain, over seeds.

    Over the seeds that both have: ``margin`` is the difference of their means, ``spread`` the larger standard
    deviation of the two, ``gain_spread`` the standard deviation of the gains of single seeds, in which the level of a
    seed cancels out. ``better`` is ahead in ``wins`` of ``pairs`` seeds.
    """

    worse: str
    better: str
    margin: float
    spread: float | None
    gain_spread: float | None
    wins: int
    pairs: int

    @property
    def came_out(self) -> bool:
        """Whether the mean of ``better`` is above that of ``worse``."""
        return self.margin > 0

    @property
    def is_clear(self) -> bool:
        """Whether it is above by more than the spread."""
        return self.spread is not None and self.margin > self.spread


def compare(entries: Sequence[dict], worse: str, better: str, chosen: str, domain: str) -> Comparison | None:
    """Compare two rows on a set and in a domain, over the seeds that both have; None where one of them is missing.

    Seeds differ by several points, so that means over different seeds say little. Rows without a common seed are
    compared over the seeds that each has.
    """
    by_seed = [_by_seed(entries, row, chosen, domain) for row in (worse, better)]
    if not all(by_seed):
        return None
    both = sorted(by_seed[0].keys() & by_seed[1].keys())
    figures = [RunStatistics(tuple(own[seed] for seed in both or sorted(own))) for own in by_seed]
    spreads = [of.spread for of in figures if of.spread is not None]
    gains = RunStatistics(tuple(by_seed[1][seed] - by_seed[0][seed] for seed in both))
    spread, wins = max(spreads) if len(spreads) == 2 else None, sum(gain > 0 for gain in gains.values)
    margin = figures[1].mean - figures[0].mean
    return Comparison(worse, better, margin, spread, gains.spread, wins, len(both))


def order(entries: Sequence[dict], chosen: str, domain: str) -> list[Comparison]:
    """Compare each row with the one before it, in the paper's order, as far as there are runs."""
    rows = [*PAPER[chosen][domain], "supervised"]
    rows = [row for row in rows if figure(entries, row, chosen, domain)]
    return [compare(entries, *pair, chosen, domain) for pair in zip(rows, rows[1:], strict=False)]


def _by_seed(entries: Sequence[dict], row: str, chosen: str, domain: str) -> dict[int, float]:
    own = [entry for entry in entries if (entry["row"], entry["set"]) == (row, chosen)]
    return {entry["seed"]: entry[f"miou_{domain}"] for entry in own if entry.get(f"miou_{domain}") is not None}


def verdict(entries: Sequence[dict]) -> list[str]:
    """Sentences on whether the losses help, from the numbers; the answer first."""
    main = {domain: compare(entries, "cls", "both", "val", domain) for domain in DOMAINS}
    if None in main.values():
        return ["No verdict: on val the rows cls and both are not scored in both domains."]
    sentences = [_answer(main), _most(main)]
    for chosen in PAPER:
        for domain in DOMAINS:
            if comparisons := order(entries, chosen, domain):
                sentences.append(_order(comparisons, chosen, domain))
    return sentences


def _answer(main: dict[str, Comparison]) -> str:
    parts = []
    for domain, found in main.items():
        spread = "unknown from one seed" if found.spread is None else f"{found.spread:.1f}"
        if found.gain_spread is not None:
            spread += f", of each seed's own gain {found.gain_spread:.1f}"
        seeds = f"{found.wins} of {found.pairs} seeds"
        parts.append(f"in {domain.upper()} by {found.margin:+.1f} points (spread {spread}; ahead in {seeds})")
    both = " and ".join(parts)
    if all(found.is_clear for found in main.values()):
        return f"Both directions beat classification alone on val {both}: more than the spread in both domains."
    failed = [domain.upper() for domain, found in main.items() if not found.is_clear]
    return f"Both directions against classification on val: {both}. Not more than the spread: {', '.join(failed)}."


def _most(main: dict[str, Comparison]) -> str:
    if main["3d"].margin > main["2d"].margin:
        return "3D gains most, as in the paper."
    return "2D gains as much as 3D or more, other than in the paper."


def _order(comparisons: list[Comparison], chosen: str, domain: str) -> str:
    rows = " < ".join([comparisons[0].worse, *(found.better for found in comparisons)])
    return f"Order in {domain.upper()} on {chosen}, {rows}: {came_out(comparisons)}."


def came_out(comparisons: Sequence[Comparison]) -> str:
    """Say whether each row that should be better is better, and where it is not, or hardly."""
    wrong = [found for found in comparisons if not found.came_out]
    text = "did not come out at " + ", ".join(_step(found, _within(found)) for found in wrong) if wrong else "came out"
    right = [found for found in comparisons if found.came_out and not found.is_clear]
    for words, found in (
        ("not more than the spread", [found for found in right if found.spread is not None]),
        ("the spread is not known from one seed", [found for found in right if found.spread is None]),
    ):
        text += f"; {words} at " + ", ".join(map(_step, found)) if found else ""
    return text


def _step(found: Comparison, note: str = "") -> str:
    return f"{found.worse} < {found.better} ({found.margin:+.2f}{note})"


def _within(found: Comparison) -> str:
    return ", within the spread" if found.spread is not None and -found.margin <= found.spread else ""
