"""`wsss bench`: its subcommands, the parts of a training step, and the correlation loss next to its plain formula."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from wsss_ros import geometry
from wsss_ros.bench import clock, correlation, joint_settings, joint_step
from wsss_ros.bench.box_scene import BoxScene
from wsss_ros.bench.joint_settings import Changes
from wsss_ros.cli import bench_train
from wsss_ros.cli import main as cli
from wsss_ros.losses import point_to_image_loss
from wsss_ros.types import BadInput

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SMALL = Changes(image_size=32, points=512, batch=2, device="cpu", precision="float32")


def test_bench_lists_its_subcommands():
    listed = CliRunner().invoke(cli.app, ["bench", "--help"]).output
    assert all(f" {name} " in listed for name in ("speed", "train", "ablation"))


@pytest.mark.parametrize("words", [["bench"], ["bench", "speed"]])
def test_bench_alone_measures_speed(words):
    """It takes the options of `wsss bench speed`: one that is out of range is named."""
    answer = CliRunner().invoke(cli.app, [*words, "--runs", "0"])
    assert answer.exit_code == 2
    assert "--runs" in answer.stderr


def test_median_of_calls():
    calls = iter(range(9))
    milliseconds, last = clock.median_ms(lambda: next(calls), 5)
    assert last == 4
    assert 0 <= milliseconds < 1000


def test_parts_of_a_step_add_up():
    settings = joint_settings.of_pair("light", SMALL)
    cost = joint_step.measure(settings, 2, made_up=True)
    title, table, rate, memory = bench_train._step(settings, cost)
    assert all(part in title for part in ("32 px", "512 points", "batch 2", "made-up"))
    names, milliseconds, _ = (list(column.cells) for column in table.columns)
    assert names == ["data", "image network", "cloud network", "losses", "backward and optimisers", "all"]
    *parts, total = map(float, milliseconds)
    assert all(part > 0 for part in parts)
    assert 0.9 * total < sum(parts) < 1.01 * total + 0.3
    assert float(rate.split()[0]) == pytest.approx(1e3 / total, rel=0.05)
    assert "peak memory of the process" in memory


def test_a_step_of_another_method_is_measured_with_what_comes_before(tmp_path):
    """Densify on made-up rooms: without an image network, with the clustering before the first epoch."""
    file = tmp_path / "densify.yaml"
    file.write_text(
        "output: x\ndata: {train: {folder: y}}\ncloud: {options: {width: 0.25, centres: [64, 32, 16, 8]}}\n"
        "phases: [{method: densify, epochs: 1, batch: 2, superpoints: wypr, cloud: {name: adam, lr: 0.001}}]\n"
    )
    cost = joint_step.measure(joint_settings.of_file(file, SMALL, "densify"), 1, made_up=True)
    assert cost.prepare_seconds > 0
    cost = replace(cost, prepare_seconds=2.0)  # that of so few points may be too short to be worth a line
    title, table, *_, before = bench_train._step(joint_settings.of_file(file, SMALL, "densify"), cost)
    assert "densify step" in title and "px" not in title and "links" not in title
    assert [*next(iter(table.columns)).cells] == ["data", "cloud network", "losses", "backward and optimisers", "all"]
    assert before == "2.0 s before the first epoch (clusters, labels)"


def test_changes_leave_the_pairs_as_they_are():
    before = str(joint_settings.PAIRS)
    changed = joint_settings.of_pair("light", Changes(image_size=64, points=300, batch=3, checkpointing=True))
    assert (changed.image.augment.crop, changed.image.augment.long_side) == (64, (64, 128))
    assert (changed.cloud.augment.points, changed.phases[0].batch) == (300, 3)
    assert changed.image.options["checkpointing"] is True
    assert str(joint_settings.PAIRS) == before


def test_a_configuration_without_a_joint_phase_is_refused(tmp_path):
    file = tmp_path / "alone.yaml"
    file.write_text("output: x\ndata: {train: {folder: y}}\nphases: [{method: classify, epochs: 1, image: {lr: 1}}]\n")
    with pytest.raises(BadInput, match="alone.yaml: has no joint phase"):
        joint_settings.of_file(file, SMALL)
    with pytest.raises(BadInput, match="--network heavy: there are light, paper"):
        joint_settings.of_pair("heavy", SMALL)


def test_made_up_rooms_have_links_where_depth_says():
    scene = BoxScene(3, 64, 5000)
    for index in range(len(scene)):
        links = geometry.link(scene.cloud, scene.frame(index))
        uv, depth = geometry.project(scene.cloud.xyz, scene.camera, scene.frame(index).world_from_camera)
        inside = (depth > 0) & (uv > 0).all(axis=1) & (uv < [63, 47]).all(axis=1)
        # From within a box nothing hides anything: what is in view is linked, but for depth's rounding to pixels.
        assert len(links) > 100
        assert np.isin(np.flatnonzero(inside), links.point).mean() > 0.5


def test_both_forms_of_the_correlation_loss_are_measured_alike():
    image, point, weight = torch.randn(300, 8), torch.randn(300, 8), torch.rand(300)
    ours, plain = point_to_image_loss(image, point, weight), correlation.plain_correlation(image, point, weight)
    torch.testing.assert_close(ours, plain)
    costs = {form: correlation._in_new_process(correlation.cost, form, 3000, 16, 1, 1) for form in ("plain", "ours")}
    assert costs["ours"].value == pytest.approx(costs["plain"].value, rel=1e-5)
    assert costs["plain"].peak_mb > 5 * costs["ours"].peak_mb
    assert costs["ours"].seconds > 0
