"""`wsss bench primitives`: purity by hand, the tables and the picture."""

import numpy as np
import torch
from PIL import Image
from support.scannet_room import corner_points, room_frames
from typer.testing import CliRunner

from wsss_ros.bench import primitives
from wsss_ros.cli import main as cli
from wsss_ros.evaluation.primitive_pictures import draw_primitives
from wsss_ros.labels import UNLABELLED
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.scenes.scannet_write import write_scene


def test_purity_by_hand():
    classes = np.array([[8, 2], [0, 5], [1, 0]])
    accuracy, miou = primitives.purity(classes, np.array([0, 1, 0]), np.array([1, 3]))
    assert accuracy == 100 * 14 / 20  # cluster 0 is class 0 with 9 of 11 points, cluster 1 is class 1
    np.testing.assert_allclose(miou, 50 * (9 / 12 + 5 / 10))
    assert np.isnan(primitives.purity(np.zeros((2, 3), int), np.array([0, 1]), np.zeros(3, int))).all()


def test_standard_rows_differ_and_have_the_standard_width():
    rows = primitives.standard_rows(torch.eye(13), 50)
    assert rows.shape == (50, primitives.STANDARD_WIDTH)
    assert len(rows.unique(dim=0)) == 50
    np.testing.assert_allclose(rows.norm(dim=1), 1, atol=1e-6)


def test_the_command_prints_tables_and_draws(tmp_path, labels):
    write_scene(tmp_path / "room", labels=labels, **corner_points(6000), frames=room_frames())
    words = ["bench", "primitives", str(tmp_path / "room"), "--standard", "500", "--primitives", "2", "--groups", "2"]
    answer = CliRunner().invoke(cli.app, [*words, "--picture", str(tmp_path / "a" / "primitives.png")])
    assert answer.exit_code == 0, answer.output
    lines = [line.replace("│", " ").split() for line in answer.output.splitlines()]
    accuracy = {
        line[0]: float(line[2]) for line in lines if line[:1] in (["superpoints"], ["primitives"]) and len(line) == 4
    }
    assert accuracy["superpoints"] > 90 and 60 < accuracy["primitives"] <= accuracy["superpoints"], accuracy
    assert any(line[:2] == ["k-means", "of"] and line[2] == "500" for line in lines)
    assert len(np.unique(np.asarray(Image.open(tmp_path / "a" / "primitives.png")).reshape(-1))) > 5


def test_primitives_of_a_scene_are_matched_with_its_tags(labels, monkeypatch):
    """Two primitives with features along two classes, of which the scene has the tag of one."""
    network = torch.nn.Module()
    network.head = torch.nn.Linear(2, len(labels))
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[0, 0] = network.head.weight[1, 1] = 1
    features = torch.tensor([[1.0, 0], [0, 1], [0, 1], [9, 9]])
    monkeypatch.setattr(primitives, "_features", lambda *given: (features, torch.tensor([0, 1, 2, 4])))
    given = Checkpoint(network, NetworkConfig("cloud", "pointnet2"), labels, {}, "")
    tags, primitive = labels.multi_hot([labels.names[1]]), np.array([7, 3, 3, 3, -1])
    found = primitives._matched(tags, np.zeros((5, 3)), None, primitive, given)
    assert found.tolist() == [UNLABELLED, 1, 1, 1, UNLABELLED]


def test_the_picture_has_a_view_for_what_is_given(labels):
    xyz = np.random.default_rng(0).random((500, 3))
    number = np.arange(500) % 5 - 1
    classes = np.where(number < 0, 255, number).astype(np.uint8)
    two = draw_primitives(xyz, None, number, number, labels, width=100)
    all_of_them = draw_primitives(xyz, None, number, number, labels, classes, classes, width=100)
    assert two.width == 3 * 106 + 6 and all_of_them.width == 5 * 106 + 6
    assert all_of_them.height > two.height
