"""The picture of a calibration: the reliability diagram before and after, and the risk-coverage curve."""

from typing import Any

import numpy as np
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.calibration import BINS, Calibration

_BEFORE, _AFTER = "tab:gray", "tab:blue"


def plot(calibration: Calibration, title: str) -> Image.Image:
    """Draw the calibration of one network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_reliability(left, calibration)
    _draw_curve(right, calibration)
    figure.suptitle(title, fontsize=11)
    return pictures.drawn(figure)


def _draw_reliability(axis: Any, calibration: Calibration) -> None:
    """Accuracy over confidence. The bars below show how many labels are in each bin after the calibration."""
    edges = np.linspace(0, 1, BINS + 1)
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    for temperature, color, when in (
        (calibration.before, _BEFORE, "before"),
        (calibration.temperature, _AFTER, "after"),
    ):
        reliability = calibration.reliability(temperature)
        label = f"{when}: temperature {temperature:.2f}, ECE {100 * reliability.error():.1f} %"
        some = reliability.count > 0
        at, accuracy = reliability.confidence[some], reliability.accuracy[some]
        axis.plot(at, accuracy, "o-", color=color, label=label, markersize=4)
        share = reliability.count / reliability.count.sum()
        axis.bar(edges[:-1], share, 1 / BINS, align="edge", color=color, alpha=0.25)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of right labels; bars: share of all labels")
    axis.set_title("reliability", fontsize=10, loc="left")
    axis.legend(fontsize=8, loc="upper left")
    axis.grid(alpha=0.25)


def _draw_curve(axis: Any, calibration: Calibration) -> None:
    curve = calibration.curve(calibration.temperature)
    axis.plot(100 * curve.coverage, 100 * curve.risk, color=_AFTER)
    for threshold, marker in ((0.0, "s"), (calibration.min_confidence, "o")):
        kept = calibration.scores_above(threshold)
        if kept["risk"] is not None:
            miou = "" if kept["miou"] is None else f", mIoU {kept['miou']:.1f} %"
            shares = f"{kept['coverage']:.0f} % labelled, {kept['risk']:.0f} % wrong"
            label = f"min_confidence {threshold:.3g}: {shares}{miou}"
            axis.plot(kept["coverage"], kept["risk"], marker, color=_AFTER, label=label)
    axis.set(xlim=(0, 100), ylim=(0, 100), xlabel="coverage: percent of labels kept")
    axis.set_ylabel("risk: percent of these that are wrong")
    axis.set_title("risk and coverage", fontsize=10, loc="left")
    axis.legend(fontsize=8, loc="upper left")
    axis.grid(alpha=0.25)
