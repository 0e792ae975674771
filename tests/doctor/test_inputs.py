"""What `wsss check` takes a path for, and what it finds there; values against what was put in."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cloud_writers import ply
from support.paths import SHARED
from support.photo_folders import TAGS, write_photos
from support.robot_bags import without, write_robot_bag
from support.striped_scenes import StripedScene, written
from support.tiny_networks import save_network
from support.tiny_scene import TinyScene
from typer.testing import CliRunner

from wsss_ros.cli import main as cli
from wsss_ros.config import share
from wsss_ros.doctor.contact_sheet import contact_sheet
from wsss_ros.doctor.findings import status
from wsss_ros.doctor.inputs import Checked, check
from wsss_ros.types import BadInput


def text_of(checked: Checked, subject: str) -> str:
    """The texts of the findings of a subject."""
    return " | ".join(finding.text for finding in checked.findings if finding.subject == subject)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, labels) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    written(folder, labels, range(2))
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "robot"
    write_robot_bag(path)
    return path


def test_a_scene(scenes, labels):
    path = sorted(scenes.iterdir())[0]
    found, scene = check(path, labels), StripedScene(0, labels)
    assert status(found.findings) == 0 and found.kind == "a scene in the layout 'scannet'"
    height, width = scene.frame(0).rgb.shape[:2]
    assert text_of(found, "frames") == f"{len(scene)} of {width}x{height}"
    depth = np.concatenate([scene.frame(i).depth_m.ravel() for i in range(len(scene) - 1)])
    assert f"median {np.median(depth[depth > 0]):.2f} m" in text_of(found, "depth")
    assert text_of(found, "cloud").startswith(f"{len(scene.cloud):,} points in ")
    assert text_of(found, "tags") == f"of the scene: {', '.join(n for n in labels.names if n in scene.tags)}"
    assert found.command == f"wsss segment {path} --out out/{path.name}"
    page = contact_sheet(found)
    assert page is not None and page.width > 600 and len(np.unique(np.asarray(page).reshape(-1, 3), axis=0)) > 3


def test_a_folder_of_scenes_names_those_that_are_left_out(scenes, labels, tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for path in scenes.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "broken").mkdir()
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        (folder / "broken" / name).write_text("# nothing\n")
    found = check(folder, labels)
    assert found.kind == "a folder of 3 scenes"
    assert text_of(found, "scenes").startswith("2 of 3, ") and "left out: " in text_of(found, "broken")


def test_a_scene_whose_name_begins_with_tags(scenes, labels, tmp_path):
    (tmp_path / "tags_kitchen").symlink_to(sorted(scenes.iterdir())[0])
    assert check(tmp_path / "tags_kitchen", labels).kind == "a scene in the layout 'scannet'"


class BrokenScene(TinyScene):
    """Its second frame cannot be read, and nothing says which way is up."""

    def frame(self, index):
        if index == 1:
            raise BadInput("frame 1 is broken")
        return super().frame(index)


@pytest.mark.parametrize("has_cloud", [True, False])
@pytest.mark.parametrize("frames", [0, 1, 5])
def test_the_sheet_leaves_out_what_cannot_be_drawn(has_cloud, frames, tmp_path):
    scene = BrokenScene(frames=frames, has_cloud=has_cloud, world_up=None)
    page = contact_sheet(Checked(tmp_path, "a scene", scenes=[scene]))
    assert (page is None) == (not has_cloud and not frames)
    (tmp_path / "broken.png").write_bytes(b"")
    assert contact_sheet(Checked(tmp_path, "pictures", pictures=[tmp_path / "broken.png"])) is None


def test_photographs_and_rows_without_a_picture(tmp_path, labels):
    folder = write_photos(tmp_path / "photos")
    found = check(folder, labels)
    assert found.kind == "photographs with tags" and f"{len(TAGS)} images" in text_of(found, "tags")
    assert text_of(found, "pictures").startswith(f"{len(TAGS)} of ")
    assert contact_sheet(found) is not None
    with (folder / "tags.csv").open("a") as file:
        file.write('lost,"wall",,,someone\n')
    assert text_of(check(folder, labels), "no image for") == "1: lost"
    with (folder / "tags.csv").open("a") as file:
        file.writelines(f'lost{number},"wall",,,someone\n' for number in range(40))
    found = check(folder, labels)
    assert text_of(found, "no image for") == "41: lost, lost0, lost1, lost2, lost3 and 36 more"
    assert text_of(found, "warning").endswith("| and 21 more")


def test_a_bag_with_its_topics_and_views(bag, labels, tmp_path):
    found = check(bag, labels)
    assert found.kind == "a bag" and status(found.findings) == 0
    assert "sensor_msgs/Image, 10 messages" in text_of(found, "/camera/color/image_raw")
    assert text_of(found, "frames") == "10 of 8x6"
    poor = tmp_path / "poor"
    without(bag, poor, "depth/image_raw", "depth/image_rect_raw", "aligned_depth_to_color/image_raw")
    views = text_of(check(poor, labels), "views")
    assert not views or "no depth" in views


def test_a_cloud_and_its_unit(tmp_path, labels):
    xyz = np.random.default_rng(0).uniform(0, 1, (500, 3)) * [4.0, 3.0, 2.0]
    rows = np.zeros(500, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    for axis, name in enumerate("xyz"):
        rows[name] = xyz[:, axis]
    path = tmp_path / "room.ply"
    path.write_bytes(ply(rows, "binary_little_endian"))
    found = check(path, labels)
    assert found.kind == "a cloud" and "--only 3d" in found.command
    assert text_of(found, "cloud") == "500 points in 4.0 x 3.0 x 2.0 m, without colour"


def test_a_label_file_a_configuration_and_a_checkpoint(tmp_path, labels):
    assert text_of(check(share("config/labels/s3dis.yaml"), labels), "classes").startswith("13: ceiling, floor")
    settings = check(share("config/joint_rooms.yaml"), labels)
    assert text_of(settings, "phases") == "3: classify, classify, joint"
    version = save_network(tmp_path / "cloud.safetensors", "cloud", labels, 1)
    found = check(tmp_path / "cloud.safetensors", labels)
    assert version in text_of(found, "cloud network") and text_of(found, "classes") == "20 of 'scannet20'"
    assert check(tmp_path, labels).kind == "the folder of a training run"


def test_pictures_without_tags(tmp_path, labels):
    for index in range(3):
        Image.new("RGB", (40 + index, 30), (index, 0, 0)).save(tmp_path / f"{index}.png")
    found = check(tmp_path, labels)
    assert found.kind == "pictures without tags" and text_of(found, "pictures") == "3 of 40x30 to 42x30"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.mcap", b"\x89MCAP0\r\n", "bag"),
        ("notes.md", b"# kitchen", "expected a bag, a cloud, pictures"),
        ("labels.yaml", b"classes: [a, A]", "labels.yaml"),
        ("train.yaml", b"phases: [{method: joynt}]", "train.yaml"),
        ("other.yaml", b"{", "not YAML"),
        ("image.safetensors", b"12345678", "not a readable checkpoint"),
        ("tags.csv", b"frame,tags\n0001,sofaa\n", "sofaa"),
        ("broken.png", b"\x89PNG\r\n", "broken.png"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, labels, name, content, words):
    (tmp_path / name).write_bytes(content)
    found = check(tmp_path / name, labels)
    assert status(found.findings) == 1 and words in " ".join(finding.text for finding in found.findings)
    answer = CliRunner().invoke(cli.app, ["check", str(tmp_path / name)])
    assert answer.exit_code == 1, answer.output
    assert answer.output.splitlines()[-1].startswith(f"not usable: {tmp_path / name}: ")


def test_a_path_that_does_not_exist(tmp_path, labels):
    found = check(tmp_path / "nothing", labels)
    assert [finding.text for finding in found.findings] == [f"{tmp_path / 'nothing'}: no such file or folder"]


def test_warnings_of_the_readers_become_notes(tmp_path, labels, monkeypatch, capsys):
    def warns(path, *rest):
        logging.getLogger("wsss_ros").warning("the depth is %s", "odd")
        raise OSError("disk")

    monkeypatch.setattr("wsss_ros.doctor.inputs.open_scene", warns)
    (tmp_path / "scene.yaml").write_text("folder: somewhere\n")
    found = check(tmp_path / "scene.yaml", labels)
    assert ("note", "the depth is odd") in [(finding.verdict, finding.text) for finding in found.findings]
    assert "odd" not in capsys.readouterr().err and status(found.findings) == 1


def test_the_command_prints_what_to_run_next_and_writes_the_sheet(scenes, tmp_path):
    path = sorted(scenes.iterdir())[0]
    options = ["--layout", "scannet", "--picture", str(tmp_path / "sheet.png")]
    answer = CliRunner().invoke(cli.app, ["check", str(path), *options])
    assert answer.exit_code == 0, answer.output
    assert f"next: wsss segment {path} --out out/{path.name} --layout scannet\n" in answer.output
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="no ../shared/data/models")
def test_a_library_of_furniture(labels):
    found = check(SHARED / "models", labels)
    assert text_of(found, "models").startswith("531: ") and "chair 62" in text_of(found, "models")
