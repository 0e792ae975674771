"""ScanNet as it is downloaded: .sens, zipped labels, scannet_frames_25k, segments, alignment, test scans."""

import io
import json
import re
import zipfile
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import scannet
from support import sens_files

from wsss_ros import geometry
from wsss_ros.config import SceneSetConfig
from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes import images, open_scene, open_scenes, ply
from wsss_ros.scenes.posed_frames import PosedFrames
from wsss_ros.scenes.rgbd_folder import RgbdFolder
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_labels import LABEL_TABLE
from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.scenes.scannet_labels import LabelTable, ids_by_segment
from wsss_ros.scenes.sens import SensReader
from wsss_ros.types import BadInput, Camera, Cloud, Scene

NAME = "scene0000_00"
COLOR, DEPTH = Camera(64.0, 64.0, 31.5, 23.5, 64, 48), Camera(30.0, 31.0, 15.5, 11.5, 32, 24)
LOST = np.full((4, 4), -np.inf)
# id, raw_category, category, nyu40id, nyu40class: as in the table, with what a glance at the names gets wrong.
ROWS = (
    ("1", "wall", "wall", "1", "wall"),
    ("2", "chair", "chair", "5", "chair"),
    ("6", "couch", "couch", "6", "sofa"),
    ("8", "shelf", "shelf", "15", "shelves"),
    ("28", "doorframe", "door frame", "8", "door"),
    ("80", "blinds", "blinds", "13", "blinds"),
    ("49", "monitor", "monitor", "40", "otherprop"),
    ("12", "trash can", "trash can", "39", "otherfurniture"),
    ("98", "radiator", "radiator", "39", "otherfurniture"),
    ("88", "bookshelf", "bookshelf", "10", "bookshelf"),
    ("1164", "object", "object", "", ""),
)
TSV = "id\traw_category\tcategory\tnyu40id\tnyu40class\n" + "".join("\t".join(row) + "\n" for row in ROWS)
# What these are among the 20 classes; "" is none of them.
CLASSES = {
    **{"wall": "wall", "chair": "chair", "couch": "sofa", "shelf": "", "doorframe": "door", "blinds": ""},
    **{"monitor": "", "trash can": "otherfurniture", "radiator": "otherfurniture", "bookshelf": "bookshelf"},
    "object": "",
}


def _pose(number: int) -> np.ndarray:
    """Upright, looking along +y, a step to the right with each number."""
    pose = np.array([[1, 0, 0, 0.25 * number], [0, 0, 1, -2], [0, -1, 0, 1.5], [0, 0, 0, 1]], float)
    return pose


def _views(count: int = 4, lost: tuple[int, ...] = ()) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pose, colour of another size than depth, depth in millimetres."""
    v, u = np.mgrid[: COLOR.height, : COLOR.width]
    rows, columns = np.mgrid[: DEPTH.height, : DEPTH.width]
    return [
        (
            LOST if i in lost else _pose(i),
            np.stack([u * 4, v * 5, np.full_like(u, 40 * i)], axis=2).astype(np.uint8),
            (1500 + 10 * i + rows + columns).astype(np.uint16),
        )
        for i in range(count)
    ]


def _png(ids: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ids).save(file, "PNG")
    return file.getvalue()


def _ids(number: int) -> np.ndarray:
    """Raw ids of one of the rows above in the upper half, wall below; of the colour image's size."""
    ids = np.ones((COLOR.height, COLOR.width), np.uint16)
    ids[: COLOR.height // 2] = int(ROWS[number % len(ROWS)][0])
    return ids


def _scan(root: Path, labels, kind: str = "scans", axis_alignment: np.ndarray | None = None) -> Path:
    """A scan's folder with 200 points and no frames, as if ScanNet's."""
    rng = np.random.default_rng(0)
    points = {"xyz": rng.normal(size=(200, 3)).astype(np.float32), "rgb": np.full((200, 3), 99, np.uint8)}
    points |= {"point_labels": np.repeat([0, 4], 100).astype(np.uint8), "instances": np.full(200, -1, np.int32)}
    folder = root / kind / NAME
    write_scene(folder, labels=labels, **points, frames=[], axis_alignment=axis_alignment)
    for name in ("color", "depth", "pose", "label-filt", "intrinsic"):
        (folder / name).rmdir()
    info = folder / f"{NAME}.txt"
    info.write_text("".join(line for line in info.read_text().splitlines(True) if not line.startswith("labelIds")))
    (root / LABEL_TABLE).write_text(TSV)
    return folder


def _add_sens(folder: Path, views: list, cut: int = 0) -> Path:
    data = sens_files.whole(COLOR, DEPTH, views, sens_files.JPEG)
    (folder / f"{NAME}.sens").write_bytes(data[: len(data) - cut])
    return folder / f"{NAME}.sens"


def _add_zip(folder: Path, members: dict[str, bytes], kind: str = "_2d-label-filt.zip") -> Path:
    with zipfile.ZipFile(folder / f"{NAME}{kind}", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return folder / f"{NAME}{kind}"


def _export(folder: Path, views: list, name: str = "{}") -> None:
    """What ScanNet's exporter makes of such a .sens file."""
    for kind in ("color", "depth", "pose"):
        (folder / kind).mkdir(parents=True)
    for number, (pose, rgb, steps) in enumerate(views):
        stem = name.format(number)
        (folder / "color" / f"{stem}.jpg").write_bytes(sens_files.encode_color(rgb, sens_files.JPEG))
        images.write_uint16(folder / "depth" / f"{stem}.png", steps)
        np.savetxt(folder / "pose" / f"{stem}.txt", pose)


def _intrinsics(folder: Path, pattern: str) -> None:
    for kind, camera in (("color", COLOR), ("depth", DEPTH)):
        k = np.eye(4)
        k[:3, :3] = camera.matrix()
        (folder / pattern.format(kind)).parent.mkdir(exist_ok=True)
        np.savetxt(folder / pattern.format(kind), k)


# --- .sens -----------------------------------------------------------------------------------------


def test_sens_and_exports_are_the_same_frames(tmp_path, labels):
    views = _views(4, lost=(1,))
    direct, exported = _scan(tmp_path / "a", labels), _scan(tmp_path / "b", labels)
    _add_sens(direct, views)
    _export(exported, views)
    _intrinsics(exported, "intrinsic/intrinsic_{}.txt")
    for folder in (direct, exported):
        _add_zip(folder, {f"label-filt/{i}.png": _png(_ids(i)) for i in range(4)})
    one, other = open_scene(direct, labels), open_scene(exported, labels)
    assert isinstance(one._frames, SensReader) and isinstance(other._frames, PosedFrames) and isinstance(one, Scene)
    assert len(one) == len(other) == 3 and one.skipped == other.skipped == {"lost pose": 1}
    for i in range(3):
        a, b = one.frame(i), other.frame(i)
        assert a.name == b.name and a.camera == b.camera == DEPTH
        for part in ("rgb", "depth_m", "world_from_camera"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
        np.testing.assert_array_equal(one.frame_truth(i), other.frame_truth(i))
        assert one.image_tags(i) == other.image_tags(i)
    assert [one.frame(i).stamp_ns for i in range(3)] == [1_000_000_000, 1_066_000_000, 1_099_000_000]
    assert one.image_tags(1) == ("wall", "sofa")  # of frame 2: labels go by number, not by place


def test_exports_go_before_sens(tmp_path, labels):
    folder = _scan(tmp_path, labels)
    _add_sens(folder, _views(4))
    _export(folder, _views(2))
    _intrinsics(folder, "intrinsic/intrinsic_{}.txt")
    assert len(ScanNetScene(folder, labels)) == 2


def test_a_recording_cut_off_in_the_middle(tmp_path, labels, caplog):
    folder = _scan(tmp_path, labels)
    path = _add_sens(folder, _views(4), cut=1500)
    scene = ScanNetScene(folder, labels)
    lost = scene.skipped["cut off"]
    assert 1 <= lost <= 3 and len(scene) == 4 - lost and scene.frame(0).camera == DEPTH
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{path}: cut off in the middle, {lost} of 4 frames are lost; get the file again"]


def test_a_recording_that_is_none_is_named_and_stops_nobody(tmp_path, labels):
    """The cloud is there all the same; sets of scenes go on."""
    folder = _scan(tmp_path, labels)
    (folder / f"{NAME}.sens").write_text("<html>404</html>")
    scenes, _ = open_scenes(SceneSetConfig(folder=str(folder.parent)), labels)
    assert len(scenes[0].cloud) == 200 and scenes[0].tags == ("wall", "chair")
    for _ in range(2):
        with pytest.raises(BadInput, match=f"{NAME}.sens: starts with"):
            len(scenes[0])


def test_a_recording_alone_is_a_scene_without_a_cloud(tmp_path, labels):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "walk.sens").write_bytes(sens_files.whole(COLOR, DEPTH, _views(3, lost=(0,))))
    (tmp_path / "walk" / "tags.json").write_text('{"scene": ["wall", "sofa"], "frames": {"000002": ["sofa"]}}')
    scene = open_scene(tmp_path / "walk", labels)
    assert isinstance(scene, RgbdFolder) and isinstance(scene, Scene) and scene.cloud is None and scene.world_up is None
    assert len(scene) == 2 and scene.skipped == {"lost pose": 1} and scene.frame(1).name == "2"
    assert [scene.image_tags(i) for i in range(2)] == [None, ("sofa",)] and scene.tags == ("wall", "sofa")
    (tmp_path / "walk" / "other.sens").write_bytes(b"")
    with pytest.raises(BadInput, match="walk: 2 recordings"):
        open_scene(tmp_path / "walk", labels)


# --- labels of images ------------------------------------------------------------------------------


def test_zipped_labels_go_through_the_table(tmp_path, labels):
    """Every row above, raw ids to classes, with nothing unpacked to the disk."""
    folder = _scan(tmp_path, labels)
    _add_sens(folder, _views(len(ROWS)))
    _add_zip(folder, {"label-filt/": b""} | {f"label-filt/{i}.png": _png(_ids(i)) for i in range(len(ROWS))})
    before, scene = sorted(tmp_path.rglob("*")), ScanNetScene(folder, labels)
    for i, row in enumerate(ROWS):
        truth, name = scene.frame_truth(i), CLASSES[row[1]]
        inside = truth[1:-1, 1:-1]  # depth sees a pixel more on each side
        assert truth.shape == (24, 32) and (inside[-8:] == 0).all(), row
        assert (inside[:8] == (labels.index(name) if name else 255)).all(), row
        assert set(scene.image_tags(i)) == {"wall", name} - {""}
    assert sorted(tmp_path.rglob("*")) == before


def test_only_the_labels_asked_for_are_read(tmp_path, labels):
    folder = _scan(tmp_path, labels)
    _add_sens(folder, _views(4))
    members = {f"label-filt/{i}.png": b"rubbish" for i in (0, 1)} | {"label-filt/2.png": _png(_ids(1))}
    path = _add_zip(folder, members)
    scene = ScanNetScene(folder, labels)
    assert scene.image_tags(2) == ("wall", "chair") and scene.image_tags(3) is None and scene.frame_truth(3) is None
    with pytest.raises(BadInput, match=f"{path.name}, label-filt/0.png: cannot be decoded"):
        scene.frame_truth(0)


def test_zips_that_are_broken_are_named(tmp_path, labels):
    folder = _scan(tmp_path, labels)
    _add_sens(folder, _views(1))
    path = _add_zip(folder, {"label-filt/0.png": _png(_ids(0))})
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"rubbish" * 99):
        path.write_bytes(data)
        with pytest.raises(BadInput, match=f"{path.name}: cannot be opened"):
            ScanNetScene(folder, labels).image_tags(0)
    path.write_bytes(whole[:60] + bytes(b ^ 255 for b in whole[60:80]) + whole[80:])
    with pytest.raises(BadInput, match=f"{path.name}, label-filt/0.png: cannot be unpacked") as told:
        ScanNetScene(folder, labels).frame_truth(0)
    assert "\n" not in str(told.value)


def test_filtered_labels_go_first_and_folders_before_zips(tmp_path, labels):
    folder = _scan(tmp_path, labels)
    _add_sens(folder, _views(1))
    ask = lambda: ScanNetScene(folder, labels).image_tags(0)[-1]  # noqa: E731
    _add_zip(folder, {"label/0.png": _png(_ids(1))}, "_2d-label.zip")
    assert ask() == "chair"
    _add_zip(folder, {"label-filt/0.png": _png(_ids(2))})
    assert ask() == "sofa"
    (folder / "label").mkdir()
    images.write_uint16(folder / "label" / "0.png", _ids(4))
    assert ask() == "door"
    (folder / "label-filt").mkdir()
    images.write_uint16(folder / "label-filt" / "0.png", _ids(7))
    assert ask() == "otherfurniture"


def test_labels_of_images_and_points_without_the_table(tmp_path, labels):
    folder = _scan(tmp_path, labels)
    _add_sens(folder, _views(1))
    _add_zip(folder, {"label-filt/0.png": _png(_ids(0))})
    (tmp_path / LABEL_TABLE).unlink()
    with pytest.raises(BadInput, match=f"'{LABEL_TABLE}' is neither here"):
        ScanNetScene(folder, labels).frame_truth(0)
    (folder / f"{NAME}_vh_clean_2.labels.ply").unlink()
    with pytest.raises(BadInput, match=f"'{LABEL_TABLE}' is neither here"):
        ScanNetScene(folder, labels).cloud_truth()


# --- scannet_frames_25k ----------------------------------------------------------------------------


@pytest.fixture
def excerpt(tmp_path, labels) -> Path:
    """Frames 0, 100, 200, of which 100 is lost, beside the scans; label images hold nyu40 ids in 8 bits."""
    _scan(tmp_path, labels)
    folder = tmp_path / "scannet_frames_25k" / NAME
    _export(folder, _views(3, lost=(1,)), name="000{}00")
    _intrinsics(folder, "intrinsics_{}.txt")
    for kind in ("label", "instance"):
        (folder / kind).mkdir()
    for number in range(3):
        ids = np.where(np.arange(COLOR.width) < 32, 1, 39)[None].repeat(COLOR.height, 0)
        Image.fromarray(ids.astype(np.uint8)).save(folder / "label" / f"000{number}00.png")
        images.write_uint16(folder / "instance" / f"000{number}00.png", ids.astype(np.uint16) * 1000 + 1)
    return folder


def test_frames_25k_with_the_points_of_the_scan(excerpt, tmp_path, labels):
    (tmp_path / LABEL_TABLE).unlink()  # its labels are nyu40 ids already
    scans = tmp_path / "scans" / NAME
    for folder in (excerpt, scans):
        scene = open_scene(folder, labels)
        assert isinstance(scene, ScanNetScene) and scene.name == NAME and scene.folder == folder
        assert len(scene) == 2 and scene.skipped == {"lost pose": 1} and len(scene.cloud) == 200
        frame = scene.frame(1)
        assert frame.name == "000200" and frame.camera == DEPTH and frame.rgb.shape == (24, 32, 3)
        np.testing.assert_allclose(frame.world_from_camera, _pose(2))
        seen = np.rint((np.arange(32) - DEPTH.cx) * COLOR.fx / DEPTH.fx + COLOR.cx) < 32
        inside = slice(2, -2)
        expected = np.where(seen, 0, labels.index("otherfurniture"))[inside]
        np.testing.assert_array_equal(scene.frame_truth(1)[12, inside], expected)
        assert scene.image_tags(0) == ("wall", "otherfurniture") and scene.tags == ("wall", "chair")
        np.testing.assert_array_equal(scene.cloud_truth(), np.repeat([0, 4], 100))
        assert set(scene.sources) == {excerpt, scans}


def test_frames_25k_alone(excerpt, tmp_path, labels):
    (tmp_path / "scans").rename(tmp_path / "elsewhere")
    scene = open_scene(excerpt, labels)
    assert isinstance(scene, ScanNetScene) and scene.cloud is None and scene.cloud_truth() is None and len(scene) == 2
    assert scene.tags == ("wall", "otherfurniture") and scene.world_up == (0, 0, 1)


def test_frames_25k_with_tags_of_a_person(excerpt, tmp_path, labels):
    (tmp_path / "scans" / NAME / "tags.json").write_text('{"000200": ["bed"], "scene": ["bed", "desk"]}')
    scene = open_scene(excerpt, labels)
    assert [scene.image_tags(i) for i in range(2)] == [None, ("bed",)] and scene.tags == ("bed", "desk")
    (excerpt / "tags.csv").write_text("scene,sink\n")  # of the folder that was asked for
    assert open_scene(excerpt, labels).tags == ("sink",)


def test_sens_goes_before_frames_of_elsewhere(excerpt, tmp_path, labels):
    _add_sens(tmp_path / "scans" / NAME, _views(4))
    assert len(open_scene(tmp_path / "scans" / NAME, labels)) == 4 and len(open_scene(excerpt, labels)) == 2


def test_test_scans_without_labels(tmp_path, labels):
    """scans_test and scannet_frames_test: no labels of any kind, no alignment; opened as a set."""
    scan = _scan(tmp_path, labels, "scans_test")
    for path in (*scan.glob("*labels.ply"), *scan.glob("*.json"), tmp_path / LABEL_TABLE, scan / f"{NAME}.txt"):
        path.unlink()
    frames = tmp_path / "scannet_frames_test" / NAME
    _export(frames, _views(2))
    _intrinsics(frames, "intrinsics_{}.txt")
    (tmp_path / "scannetv2_test.txt").write_text(f"{NAME}\nscene0707_00\n")
    for folder in (scan.parent, frames.parent):
        chosen = SceneSetConfig(folder=str(folder), scenes=str(tmp_path / "scannetv2_test.txt"))
        (scene,), left_out = open_scenes(chosen, labels)
        assert len(scene) == 2 and len(scene.cloud) == 200 and [name for name, _ in left_out] == ["scene0707_00"]
        truths = [scene.tags, scene.image_tags(0), scene.frame_truth(0), scene.cloud_truth()]
        assert truths == [None] * 4
        np.testing.assert_array_equal(scene.axis_alignment, np.eye(4))


# --- labels of points ------------------------------------------------------------------------------


def _segmented(folder: Path, names: list[str], points: int = 200) -> None:
    """As many objects as names, of two segments each, then points of no object."""
    segments = np.minimum(np.arange(points) // 5, 2 * len(names))
    groups = [{"id": i, "objectId": i, "segments": [2 * i, 2 * i + 1], "label": n} for i, n in enumerate(names)]
    (folder / f"{NAME}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    (folder / f"{NAME}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": segments.tolist()}))


def test_points_by_segment_and_raw_category(tmp_path, labels, caplog):
    folder = _scan(tmp_path, labels)
    (folder / f"{NAME}_vh_clean_2.labels.ply").unlink()
    _segmented(folder, [*CLASSES, "unheard of"])
    truth = ScanNetScene(folder, labels).cloud_truth()
    expected = [labels.index(name) if name else 255 for name in (*CLASSES.values(), "")]
    np.testing.assert_array_equal(truth[:120], np.repeat(expected, 10))
    assert (truth[120:] == 255).all()
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / NAME}.aggregation.json: left unlabelled, because not in the table: unheard of"
    ]


def test_labels_ply_goes_before_segments(tmp_path, labels):
    folder = _scan(tmp_path, labels)
    _segmented(folder, ["couch"])
    assert set(ScanNetScene(folder, labels).cloud_truth()) == {0, 4}


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from([*CLASSES, "other"]), st.lists(st.integers(0, 12), max_size=4)), max_size=5),
    st.lists(st.integers(0, 12), max_size=40),
)
def test_segments_as_the_slow_twin(tmp_path_factory, objects, segment_of_point):
    folder = tmp_path_factory.mktemp("scan")
    groups = [{"label": name, "segments": segments} for name, segments in objects]
    (folder / "a.json").write_text(json.dumps({"segGroups": groups}))
    (folder / "s.json").write_text(json.dumps({"segIndices": segment_of_point}))
    names = {row[1]: int(row[3] or 0) for row in ROWS}
    result = ids_by_segment(folder / "a.json", folder / "s.json", names)
    assert result.tolist() == scannet.ids_by_segment(groups, segment_of_point, names)


@pytest.mark.parametrize("source", ["labels.ply", "segs.json"])
def test_labels_of_another_size_than_the_mesh(tmp_path, labels, source):
    folder = _scan(tmp_path, labels)
    labelled = folder / f"{NAME}_vh_clean_2.labels.ply"
    if source == "labels.ply":
        ply.write(labelled, ply.read(labelled)[:190])
    else:
        labelled.unlink()
        _segmented(folder, ["wall"], points=190)
    with pytest.raises(BadInput, match=rf"{source}: labels for 190 points, and {NAME}_vh_clean_2.ply has 200"):
        ScanNetScene(folder, labels).cloud_truth()


@pytest.mark.parametrize(
    "name, text, reason",
    [
        (".aggregation.json", "{", "aggregation.json: JSONDecodeError"),
        (".aggregation.json", "{}", "aggregation.json: KeyError"),
        (".aggregation.json", '{"segGroups": {}}', "aggregation.json: 'segGroups' is a dict; expected a list"),
        (".aggregation.json", '{"segGroups": [{"segments": [1]}]}', "aggregation.json .*KeyError"),
        ("_vh_clean_2.0.010000.segs.json", '{"segIndices": ["a"]}', "segs.json: ValueError"),
        ("_vh_clean_2.0.010000.segs.json", "\xff", "segs.json: "),
    ],
)
def test_broken_segments_are_named(tmp_path, labels, name, text, reason):
    folder = _scan(tmp_path, labels)
    (folder / f"{NAME}_vh_clean_2.labels.ply").unlink()
    _segmented(folder, ["wall"])
    (folder / f"{NAME}{name}").write_text(text, "latin-1")
    with pytest.raises(BadInput, match=reason):
        ScanNetScene(folder, labels).cloud_truth()


def test_the_table_goes_by_ids_not_by_names(tmp_path):
    (tmp_path / LABEL_TABLE).write_text(TSV)
    table = LabelTable(tmp_path / LABEL_TABLE)
    traps = {"shelf": 15, "blinds": 13, "doorframe": 8, "couch": 6, "trash can": 39, "radiator": 39, "monitor": 40}
    assert {name: table.of_name[name] for name in traps} == traps and table.of_name["object"] == 0
    assert [table.of_id[raw] for raw in (8, 80, 28, 6, 12, 98, 49, 1164, 65535)] == [15, 13, 8, 6, 39, 39, 40, 0, 0]


# --- alignment -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", ["sens", "exports"])
def test_links_hold_between_unaligned_poses_and_points(tmp_path, labels, recorded):
    """Points made from a depth image are all seen in it; turned by the alignment alone they no longer are."""
    turn = np.array([[0, -1, 0, 3], [1, 0, 0, 4], [0, 0, 1, 0.5], [0, 0, 0, 1]], float)
    folder = _scan(tmp_path, labels, axis_alignment=turn)
    if recorded == "sens":
        _add_sens(folder, _views(1))
    else:
        _export(folder, _views(1))
        _intrinsics(folder, "intrinsic/intrinsic_{}.txt")
    frame = ScanNetScene(folder, labels).frame(0)
    xyz, pixel = geometry.unproject(frame.depth_m, frame.camera, frame.world_from_camera)
    vertices = np.zeros(len(xyz), ply.read(folder / f"{NAME}_vh_clean_2.ply").dtype)
    for axis, name in enumerate("xyz"):
        vertices[name] = xyz[:, axis]
    ply.write(folder / f"{NAME}_vh_clean_2.ply", vertices)
    scene = ScanNetScene(folder, labels)
    links = geometry.link(scene.cloud, scene.frame(0))
    np.testing.assert_array_equal(links.point, np.arange(len(xyz)))
    np.testing.assert_allclose(links.uv, np.stack([pixel % 32, pixel // 32], axis=1), atol=1e-3)
    np.testing.assert_array_equal(scene.axis_alignment, turn)
    np.testing.assert_allclose(scene.frame(0).world_from_camera, _pose(0))
    turned = Cloud(geometry.transform(turn, scene.cloud.xyz.astype(np.float64)).astype(np.float32), scene.cloud.rgb)
    assert len(geometry.link(turned, scene.frame(0))) == 0


# --- many scenes, most of them broken --------------------------------------------------------------


def test_a_set_of_broken_scenes_leaves_the_good_one(tmp_path, labels, monkeypatch):
    """Each fault is told in one line with its file or reason; the good scene is prepared for training."""
    # Before Python 3.12, checking a value against the protocol Scene asks it for tags and cloud, which fail here.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    depth_m = (_views(1)[0][2] / 1000).astype(np.float32)
    xyz = geometry.unproject(depth_m, DEPTH, _pose(0))[0].astype(np.float32)
    points = {"xyz": xyz, "rgb": np.full(xyz.shape, 99, np.uint8), "point_labels": np.zeros(len(xyz), np.uint8)}
    points["instances"] = np.full(len(xyz), -1, np.int32)

    def make(name: str) -> Path:
        write_scene(tmp_path / "scans" / name, labels=labels, **points, frames=[])
        for kind in ("color", "depth", "pose"):
            (tmp_path / "scans" / name / kind).rmdir()
        (tmp_path / "scans" / name / f"{name}.sens").write_bytes(recordings["good"])
        return tmp_path / "scans" / name

    views = _views(3)
    recordings = {"good": sens_files.whole(COLOR, DEPTH, views)}
    good, lost, bad = make("good"), make("lost"), make("bad_sens")
    (lost / "lost.sens").write_bytes(sens_files.whole(COLOR, DEPTH, _views(3, lost=(0, 1, 2))))
    (bad / "bad_sens.sens").write_bytes(b"no recording")
    (make("no_frames") / "no_frames.sens").unlink()
    (make("no_tags") / "no_tags_vh_clean_2.labels.ply").unlink()
    (make("bad_tags") / "tags.json").write_text('{"scene": ["soffa"]}')
    short = make("short") / "short_vh_clean_2.labels.ply"
    ply.write(short, ply.read(short)[:-5])
    mesh = make("bad_mesh") / "bad_mesh_vh_clean_2.ply"
    mesh.write_bytes(mesh.read_bytes()[:-99])
    (tmp_path / "scans" / "empty").mkdir()

    scenes, unopened = open_scenes(SceneSetConfig(folder=str(tmp_path / "scans")), labels)
    prepared = prepare(scenes, labels, tmp_path / "cache", frames_per_scene=2, long_side=32)
    assert [scene.name for scene in prepared.scenes] == [good.name] and [name for name, _ in unopened] == ["empty"]
    assert len(prepared.scenes[0].images) == 2 and prepared.scenes[0].tags[0] == 1
    reasons = dict(prepared.left_out)
    expected = {
        "lost": "no usable frame",
        "bad_sens": "bad_sens.sens: starts with",
        "no_frames": "no usable frame",
        "no_tags": "no tags",
        "bad_tags": "tags.json, key 'scene': 'soffa'.*'sofa'",
        "short": "short_vh_clean_2.labels.ply: labels for 763 points, and short_vh_clean_2.ply has 768",
        "bad_mesh": "bad_mesh_vh_clean_2.ply: cut short",
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert re.search(reason, reasons[name]) and "\n" not in reasons[name], (name, reasons[name])
