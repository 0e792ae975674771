"""Every published semantic image that has depth and a pose gets its points, at any rate; simulated time."""

from itertools import permutations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from support.simulated_segmenter import MAKE, START_NS, Arrival, SimulatedSegmenter  # noqa: E402

ORDERS = list(permutations(MAKE))


def arrivals(rate_hz: float, count: int, delay_s: dict[str, float], order: tuple[str, ...]) -> list[Arrival]:
    """Views at a rate. Each stream arrives its delay after the stamp; at the same time they come in ``order``."""
    return [
        (
            number / rate_hz + delay_s.get(stream, 0.0),
            order.index(stream),
            stream,
            START_NS + round(1e9 * number / rate_hz),
        )
        for number in range(count)
        for stream in MAKE
    ]


def check_counts(node: SimulatedSegmenter, sent: int) -> None:
    """What came in is what went out, and the drops by cause."""
    health, sync = node.health, node.inputs.sync
    assert sent == health.processed["image"] + health.dropped["image replaced by a newer one"]
    assert len(node.labels.stamps) == health.processed["image"]
    assert 3 * sent == sync.matched + sum(sync.dropped.values()) + sync.pending


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
@pytest.mark.parametrize("rate_hz", [30, 60])
def test_each_image_gets_its_points_when_the_streams_are_faster_than_the_network(rate_hz, order):
    node = SimulatedSegmenter(network_s=0.11)
    node.play(arrivals(rate_hz, 120, {}, order))
    assert node.points.stamps == node.labels.stamps
    assert len(node.labels.stamps) >= 120 / rate_hz / 0.11
    check_counts(node, 120)


@settings(max_examples=12, phases=(Phase.explicit, Phase.generate))  # to shrink takes minutes
@given(
    rate_hz=st.sampled_from([10.0, 30.0, 60.0]),
    network_s=st.floats(0.002, 0.7),
    depth_s=st.floats(-0.1, 0.1),
    pose_s=st.floats(-0.1, 0.1),
    camera_s=st.floats(-0.1, 0.0),
    order=st.sampled_from(ORDERS),
)
def test_late_and_early_companions_make_points_at_any_ratio_of_rates(
    rate_hz, network_s, depth_s, pose_s, camera_s, order
):
    node = SimulatedSegmenter(network_s)
    node.play(arrivals(rate_hz, 60, {"depth": depth_s, "pose": pose_s, "camera": camera_s}, order))
    assert sorted(node.points.stamps) == node.labels.stamps
    check_counts(node, 60)
