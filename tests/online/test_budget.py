"""The latency budget, and what a round costs the segmenters."""

from wsss_ros.online.budget import FRESH_S, WINDOW_S, Latencies, LatencyBudget


def test_the_budget_is_held_with_hysteresis():
    budget = LatencyBudget(100)
    for p95_ms, busy in ((90, False), (101, True), (90, True), (79, False), (90, False)):
        budget.report("/image_segmenter", p95_ms, 5.0)
        assert budget.busy(5.0) is busy, p95_ms


def test_the_slowest_fresh_report_counts():
    budget = LatencyBudget(100)
    budget.report("/image_segmenter", 50, 0.0)
    budget.report("/cloud_segmenter", 300, 0.0)
    assert budget.busy(1.0) and budget.worst(1.0) == ("/cloud_segmenter", 300)
    budget.report("/image_segmenter", 50, FRESH_S)
    assert not budget.busy(FRESH_S + 0.1) and budget.worst(3 * FRESH_S) is None


def test_no_budget_is_never_exceeded():
    budget = LatencyBudget(0)
    budget.report("/image_segmenter", 1e6, 0.0)
    assert not budget.busy(0.0)


def test_what_a_round_costs_is_told_from_reports_of_one_kind_only():
    latencies = Latencies()
    for now, p95_ms in ((0.0, 30.0), (1.0, 34.0), (2.0, 32.0)):
        latencies.report("image_segmenter", p95_ms, now)
    latencies.round_runs(True, 3.0)
    latencies.round_runs(True, 9.0)
    latencies.report("image_segmenter", 999.0, 3.0 + WINDOW_S - 0.1)
    latencies.report("image_segmenter", 40.0, 3.0 + WINDOW_S)
    latencies.report("cloud_segmenter", 90.0, 3.0 + WINDOW_S)
    latencies.round_runs(False, 20.0)
    latencies.report("image_segmenter", 999.0, 21.0)
    told = {"cloud_segmenter": {"beside": 90.0}, "image_segmenter": {"alone": 32.0, "beside": 40.0}}
    assert latencies.take() == told and latencies.take() == {}
