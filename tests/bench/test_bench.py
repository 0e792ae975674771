"""`wsss bench`: its subcommands, the parts of a training step, and the correlation loss beside its plain formula."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from wsss_ros import geometry  # noqa: F401  training is long to import: not within a test
from wsss_ros.cli import bench_train
from wsss_ros.cli import main as cli
from wsss_ros.losses import point_to_image_loss
from wsss_ros.training import run  # noqa: F401  training is long to import: not within a test
from wsss_ros.types import BadInput

pytestmark = pytest.mark.timeout(600)  # a machine that many use
SMALL = dict(image_size=32, points=512, batch=2, device="cpu", precision="float32")


def test_bench_lists_its_subcommands():
    listed = CliRunner().invoke(cli.app, ["bench", "--help"]).output
    assert all(f" {name} " in listed for name in ("speed", "train", "ablation"))


@pytest.mark.parametrize("words", [["bench"], ["bench", "speed"]])
def test_bench_alone_measures_speed(words):
    """It takes the options of `wsss bench speed`: one that is out of range is named."""
    answer = CliRunner().invoke(cli.app, [*words, "--runs", "0"])
    assert answer.exit_code == 2 and "--runs" in answer.stderr


def test_parts_of_a_step_add_up():
    settings = bench_train._settings(bench_train._DEFAULT, "light", False, **SMALL)
    title, table, rate, memory = bench_train.measure_steps(settings, 2, made_up=True)
    assert "32 px" in title and "512 points" in title and "batch 2" in title and "made-up" in title
    names, milliseconds, shares = (list(column.cells) for column in table.columns)
    assert names == ["data", "image network", "cloud network", "losses", "backward and optimisers", "all"]
    *parts, whole = map(float, milliseconds)
    assert all(part > 0 for part in parts) and 0.9 * whole < sum(parts) < 1.01 * whole + 0.3
    assert float(rate.split()[0]) == pytest.approx(1e3 / whole, rel=0.05)
    assert "peak memory of the process" in memory


def test_a_configuration_without_a_joint_phase_is_refused(tmp_path):
    file = tmp_path / "alone.yaml"
    file.write_text("output: x\ndata: {train: {folder: y}}\nphases: [{method: classify, epochs: 1, image: {lr: 1}}]\n")
    with pytest.raises(BadInput, match="alone.yaml: has no joint phase"):
        bench_train._settings(file, "", False, **SMALL)
    with pytest.raises(BadInput, match="--network heavy: there are light, paper"):
        bench_train._settings(file, "heavy", False, **SMALL)


def test_made_up_rooms_have_links_where_depth_says():
    scene = bench_train.BoxScene(3, 64, 5000)
    for index in range(len(scene)):
        links = geometry.link(scene.cloud, scene.frame(index))
        uv, depth = geometry.project(scene.cloud.xyz, scene.camera, scene.frame(index).world_from_camera)
        inside = (depth > 0) & (uv > 0).all(axis=1) & (uv < [63, 47]).all(axis=1)
        # From within a box nothing hides anything: what is in view is linked, but for depth's rounding to pixels.
        assert len(links) > 100 and np.isin(np.flatnonzero(inside), links.point).mean() > 0.5


def test_both_forms_of_the_correlation_loss_are_measured_alike():
    image, point, weight = torch.randn(300, 8), torch.randn(300, 8), torch.rand(300)
    ours, plain = point_to_image_loss(image, point, weight), bench_train.plain_correlation(image, point, weight)
    torch.testing.assert_close(ours, plain)
    cost = bench_train.correlation_cost
    figures = {form: bench_train._apart(cost, form, 3000, 16, 1, 1) for form in ("plain", "ours")}
    assert figures["ours"][2] == pytest.approx(figures["plain"][2], rel=1e-5)
    assert figures["plain"][1] > 5 * figures["ours"][1] and figures["ours"][0] > 0
