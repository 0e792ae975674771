"""Scores as text."""

from wsss_ros.evaluation.tables import RunStatistics, markdown_row, markdown_table, percent


def test_percentages():
    assert percent(41.25) == "41.2" and percent(None) == "-" and percent(None, missing="–") == "–"


def test_runs():
    two = RunStatistics((40.0, 42.0))
    assert two.mean == 41 and str(two) == "41.0 ± 1.4"
    one = RunStatistics((40.0,))
    assert one.spread is None and str(one) == "40.0"


def test_tables():
    assert markdown_row(["a", 1, RunStatistics((2.0,))]) == "| a | 1 | 2.0 |"
    assert markdown_table(["row", "what", "IoU"], [["a", "", 1]], text_columns=2) == [
        "| row | what | IoU |",
        "|---|---|---:|",
        "| a |  | 1 |",
    ]
    assert markdown_table(["row", "IoU"], [], rule_pad=" ")[1] == "| --- | ---: |"
