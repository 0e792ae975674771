"""What the scores of an ablation show: the verdict, the order of the rows, means and spreads over seeds."""

import numpy as np
import pytest

from wsss_ros.ablation import results


def entries_of(figures_2d: dict, figures_3d: dict, chosen: str = "val") -> list[dict]:
    return [
        {"row": row, "seed": seed, "set": chosen, "miou_2d": a, "miou_3d": b}
        for row in figures_2d
        for seed, (a, b) in enumerate(zip(figures_2d[row], figures_3d[row], strict=True))
    ]


def test_verdict_where_all_came_out():
    entries = entries_of(
        {"cls": (20, 21, 22), "3d_to_2d_plain": (25, 25, 25), "3d_to_2d": (27, 27, 27), "both": (30, 31, 32)},
        {"cls": (10, 10, 10), "3d_to_2d_plain": (10, 10, 10), "3d_to_2d": (10, 10, 10), "both": (30, 30, 30)},
    )
    sentences = results.verdict(entries)
    assert "in 2D by +10.0 points (spread 1.0, of each seed's own gain 0.0; ahead in 3 of 3 seeds)" in sentences[0]
    assert "in 3D by +20.0 points" in sentences[0] and "more than the spread in both domains" in sentences[0]
    assert sentences[1].startswith("3D gains most")
    assert sentences[2] == "Order in 2D on val, cls < 3d_to_2d_plain < 3d_to_2d < both: came out."


def test_verdict_where_it_did_not():
    entries = entries_of(
        {"cls": (20, 24, 28), "3d_to_2d": (22, 22, 21), "both": (26, 25, 27)},
        {"cls": (10, 11, 12), "3d_to_2d": (9, 9, 9), "both": (11, 11, 11)},
    )
    sentences = results.verdict(entries)
    assert "Not more than the spread: 2D, 3D" in sentences[0]
    assert "by +2.0 points (spread 4.0, of each seed's own gain 3.6; ahead in 2 of 3" in sentences[0]
    assert sentences[1].startswith("2D gains as much")
    assert "did not come out at cls < 3d_to_2d (-2.33, within the spread)" in sentences[2]
    assert results.verdict([entries[0]])[0].startswith("No verdict")


def test_one_seed_is_no_spread():
    entries = entries_of({"cls": (20,), "both": (40,)}, {"cls": (10,), "both": (40,)})
    assert "spread unknown from one seed" in results.verdict(entries)[0]
    assert "Not more than the spread: 2D, 3D" in results.verdict(entries)[0]
    one = results.compare(entries, "cls", "both", "val", "2d")
    assert results.came_out([one]) == "came out; the spread is not known from one seed at cls < both (+20.00)"


def test_a_gain_within_the_spread_is_named():
    entries = entries_of({"cls": (20, 24), "both": (23, 24)}, {"cls": (1, 1), "both": (2, 2)})
    thin, clear = (results.compare(entries, "cls", "both", "val", domain) for domain in ("2d", "3d"))
    assert results.came_out([thin, clear]) == "came out; not more than the spread at cls < both (+1.50)"


def test_rows_are_compared_over_the_seeds_that_both_have():
    entries = entries_of({"cls": (20, 30, 40), "both": (21, 50, 60)}, {"cls": (1, 1, 1), "both": (2, 2, 2)})
    short = [entry for entry in entries if entry["row"] == "cls" or entry["seed"] == 0]
    found = results.compare(short, "cls", "both", "val", "2d")
    assert (found.margin, found.spread, found.wins, found.pairs) == (1, None, 1, 1)
    apart = [entry for entry in entries if (entry["row"] == "cls") == (entry["seed"] == 0)]
    assert results.compare(apart, "cls", "both", "val", "2d").margin == 35
    assert results.compare(short[:3], "cls", "both", "val", "2d") is None


def test_spread_is_the_standard_deviation_over_seeds():
    entries = entries_of({"cls": (1, 2, 6)}, {"cls": (None, 2, 4)})
    found = results.figure(entries, "cls", "val", "2d")
    assert (found.mean, found.spread) == (3.0, pytest.approx(np.std([1, 2, 6], ddof=1)))
    assert results.figure(entries, "cls", "val", "3d").values == (2, 4)
    assert results.figure(entries, "cls", "other", "2d") is None
