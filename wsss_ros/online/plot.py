"""The picture of all rounds: held-out scores of every candidate, and whether it was promoted."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wsss_ros.evaluation.pictures import save_figure
from wsss_ros.online.records import SETS, Decision
from wsss_ros.online.scores import MEASURES, network_of

_PANELS = {**MEASURES, "agreement": "agreement"}
_COLORS = dict(zip(SETS, ("tab:orange", "tab:blue", "tab:green"), strict=True))


def draw(decisions: Sequence[Decision], path: Path) -> None:
    """Draw a panel for each measure with scores. A line joins those of the weights in use after each round.

    Dots are promoted networks, crosses are refused ones, grey lines are rounds that were given up.
    """
    every = [scores for each in decisions for scores in each.before.values()]
    panels = [key for key in _PANELS if any(scores.get(key) is not None for scores in every)] or list(MEASURES)[:1]
    figure = Figure(figsize=(2.7 * len(panels), 3.8), layout="constrained")
    for axes, measure in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in SETS:
            _draw_set(axes, decisions, name, measure)
        for decision in decisions:
            if not decision.judged:
                axes.axvline(decision.round, color="0.8", linestyle=":")
        axes.set(title=_PANELS[measure], xlabel="round", ylim=(-0.02, 1.02))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("on held-out scenes")
    _legend(figure, decisions)
    save_figure(figure, path)


def _draw_set(axes: Axes, decisions: Sequence[Decision], name: str, measure: str) -> None:
    kind = network_of(measure)
    judged = [each for each in decisions if _score(each.before, name, measure) is not None]
    used = [(each.round, _score(each.after if each.took(kind) else each.before, name, measure)) for each in judged]
    if used:
        axes.plot(*zip(*used, strict=True), color=_COLORS[name], linewidth=1.5, alpha=0.6)
    for promoted, marker in ((True, "o"), (False, "x")):
        points = [(each.round, _score(each.after, name, measure)) for each in judged if each.took(kind) == promoted]
        points = [point for point in points if point[1] is not None]
        if points:
            rounds, scores = zip(*points, strict=True)
            axes.scatter(rounds, scores, color=_COLORS[name], marker=marker, s=36, zorder=3)


def _score(scores: dict, name: str, measure: str) -> float | None:
    return scores.get(name, {}).get(measure)


def _legend(figure: Figure, decisions: Sequence[Decision]) -> None:
    shown = [name for name in SETS if any(name in each.before for each in decisions)]
    handles = [figure.axes[0].plot([], [], color=_COLORS[name], label=f"{name} scenes")[0] for name in shown]
    for label, marker in (("promoted", "o"), ("refused", "x")):
        handles += figure.axes[0].plot([], [], color="0.3", marker=marker, linestyle="", label=label)
    handles += figure.axes[0].plot([], [], color="0.8", linestyle=":", label="given up")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
