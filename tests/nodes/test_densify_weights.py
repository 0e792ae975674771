"""A network of Densify in the node and in the commands: what the method trains is a checkpoint as any other."""

import json

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import PointCloud2  # noqa: E402
from support.node_views import LATCHED, answered  # noqa: E402
from support.striped_scenes import written  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD  # noqa: E402
from support.training_runs import GENTLE, one_thread, settings_for  # noqa: E402
from support.view_messages import CLOCK, cloud, room  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from wsss_ros.bags import cloud_codec  # noqa: E402
from wsss_ros.cli.main import app  # noqa: E402
from wsss_ros.inference import CloudSegmenter  # noqa: E402
from wsss_ros.training.run import train  # noqa: E402

pytestmark = pytest.mark.slow
SUPERPOINTS = {"kind": "vccs", "seed_m": 0.3}
LEARNS = {"batch": 2, "epochs": 1, "cloud": GENTLE}
PHASES = [
    {"method": "densify", "superpoints": SUPERPOINTS, "primitives": 8, "match_from": 0, **LEARNS},
    {"method": "densify_labels", **LEARNS},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, labels):
    """The folder with the scenes and the run, of both stages on two scenes, without an image network."""
    root = tmp_path_factory.mktemp("densify")
    written(root / "train", labels, range(2))
    written(root / "val", labels, [100])
    with one_thread():
        scores = train(settings_for(root, phases=PHASES, image=None))
    assert scores["cloud"]["miou"] is not None and scores["image"] is None
    return root


def test_clouds_are_segmented(probe, started, trained):
    weights = trained / "run/cloud.safetensors"
    node = started("cloud_segmenter", weights=weights, points=256, **ON_ONE_THREAD)
    got = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    stamp = CLOCK.next()
    probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
    table = np.frombuffer(answered(got, stamp).data, cloud_codec.SEMANTIC_POINT)
    expected, _ = CloudSegmenter(weights, "cpu", "float32", points=256)(room())
    np.testing.assert_array_equal(table["label"], expected)


def test_the_commands_take_it(trained):
    weights, scenes = trained / "run/cloud.safetensors", trained / "val"
    common = ["--only", "3d", "--cloud-weights", str(weights), "--device", "cpu"]
    for command in ("segment", "evaluate"):
        done = CliRunner().invoke(app, [command, str(scenes), *common, "--out", str(trained / command)])
        assert done.exit_code == 0, done.output
    assert json.loads((trained / "segment/segment.json").read_text())["points"] == 600
    report = json.loads((trained / "evaluate/evaluation.json").read_text())
    assert report["3d"]["count"] == 600 and report["3d"]["predictions"]["weights"] == str(weights)
