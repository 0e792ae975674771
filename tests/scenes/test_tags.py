"""tags.csv and tags.json: the same tags either way, and every fault with the file and the line or key."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import SHARED

from wsss_ros.labels import scannet20
from wsss_ros.scenes.tags import TagFile, read_csv
from wsss_ros.types import BadInput

SPACE = scannet20()
NAMES = st.lists(st.sampled_from(SPACE.names), unique=True, max_size=4)


def _read(folder: Path, name: str, text: str) -> TagFile:
    (folder / name).write_text(text)
    return TagFile(folder / name, SPACE)


@settings(max_examples=40)
@given(st.dictionaries(st.integers(0, 10**6), NAMES, max_size=5), st.none() | NAMES)
def test_three_ways_to_write_the_same(tmp_path_factory, frames, of_scene):
    """csv, flat and nested JSON; names with zeros in front and without; without a list for the scene, the union."""
    folder, rows = tmp_path_factory.mktemp("tags"), io.StringIO()
    scene = {} if of_scene is None else {"scene": of_scene}
    csv.writer(rows).writerows([[f"{n:06d}", ", ".join(tags)] for n, tags in frames.items()])
    csv.writer(rows).writerows([[key, ",".join(tags)] for key, tags in scene.items()])
    nested = json.dumps(scene | {"frames": {f"frame-{n}": tags for n, tags in frames.items()}})
    flat = json.dumps({f"{n:08d}": tags for n, tags in frames.items()} | scene)
    expected = of_scene if of_scene is not None else sum(frames.values(), [])
    for name, text in (("tags.csv", rows.getvalue()), ("tags.json", nested), ("tags.json", flat)):
        tags = _read(folder, name, text)
        assert set(tags.scene) == set(expected) and len(tags.scene) == len(set(expected))
        assert all(set(tags.image(f"{n:06d}")) == set(given) for n, given in frames.items())
        assert tags.image(str(10**6 + 1)) is None


def test_columns_in_any_order_with_unknown_classes_and_a_split(tmp_path):
    rows = 'split,unknown,source,frame,tags\nval,"sofa, desk",me,free/oi_1,"wall, bed, -chair"\n,,you,000007,floor\n'
    for complete in (True, False):
        (tmp_path / "tags.csv").write_text(rows)
        tags = TagFile(tmp_path / "tags.csv", SPACE, complete)
        assert tags.image("free/oi_1") == ("wall", "bed") and tags.image_list("free/oi_1").absent == ("chair",)
        assert [row.split for row in read_csv(tmp_path / "tags.csv").rows] == ["val", ""]
        unlisted = [] if complete else [name for name in SPACE.names if name not in ("wall", "bed", "chair")]
        assert set(tags.image_unknown("free/oi_1")) == {"sofa", "desk", *unlisted}
        assert set(tags.image_unknown("frame-7")) == (set() if complete else set(SPACE.names) - {"floor"})
        assert tags.scene == ("wall", "floor", "bed") and tags.image_unknown("none") == ()
        assert set(tags.unknown) == ({"sofa", "desk"} if complete else set(SPACE.names) - set(tags.scene))


SIGNED = st.dictionaries(st.sampled_from(SPACE.names), st.sampled_from(("", "-", "?")), max_size=6)


@settings(max_examples=40)
@given(SIGNED, SIGNED, st.booleans())
def test_signs_mean_the_same_in_both_files_and_in_the_column_unknown(tmp_path_factory, frame, scene, complete):
    folder, rows, columns = tmp_path_factory.mktemp("tags"), io.StringIO(), io.StringIO()
    written = {key: [sign + name for name, sign in of.items()] for key, of in (("5", frame), ("scene", scene))}
    csv.writer(rows).writerows([key, ", ".join(names)] for key, names in written.items())
    split = [[key, [n for n in of if n[0] != "?"], [n[1:] for n in of if n[0] == "?"]] for key, of in written.items()]
    cells = [[", ".join(cell) if isinstance(cell, list) else cell for cell in row] for row in split]
    csv.writer(columns).writerows([["frame", "tags", "unknown"], *cells])
    texts = ("tags.json", json.dumps(written)), ("tags.csv", rows.getvalue()), ("tags.csv", columns.getvalue())
    for name, text in texts:
        (folder / name).write_text(text)
        tags = TagFile(folder / name, SPACE, complete)
        assert set(tags.image("5")) == {name for name in frame if not frame[name]}
        assert set(tags.given_scene.present) == {name for name in scene if not scene[name]}
        unlisted = set() if complete else set(SPACE.names) - set(frame)
        unknown = unlisted | {name for name in frame if frame[name] == "?"}
        assert set(tags.image_unknown("5")) == {name for name in unknown if scene.get(name) != "-"}


def test_a_file_says_whether_its_lists_are_complete(tmp_path):
    for text in ('{"complete": false, "scene": ["bed"]}', '{"frames": {"0": ["bed"]}, "complete": false}'):
        tags = _read(tmp_path, "tags.json", text)
        assert tags.scene == ("bed",) and set(tags.unknown) == set(SPACE.names) - {"bed"}
    complete = _read(tmp_path, "tags.json", '{"complete": true, "scene": ["bed"]}')
    assert complete.unknown == () == TagFile(tmp_path / "tags.json", SPACE, complete=False).unknown


def test_a_scene_without_present_classes_of_its_own_has_those_of_its_frames(tmp_path):
    text = '{"scene": ["-sofa", "?desk"], "frames": {"0": ["bed", "-chair"], "1": ["desk", "?sofa", "?sink"]}}'
    tags = _read(tmp_path, "tags.json", text)
    assert tags.scene == ("bed", "desk") and tags.unknown == ("sink",)
    assert tags.image_unknown("1") == ("sink",), "the whole scene has no sofa"
    assert _read(tmp_path, "tags.csv", "scene,\n0,bed\n").scene == ()


def test_real_photographs_are_read():
    for name, frames, unlisted in (("homes", 1024, "otherfurniture"), ("photos", 110, None)):
        if not (path := SHARED / name / "tags.csv").is_file():
            pytest.skip(f"{path} is not here")
        rows = list(csv.DictReader(path.open()))
        tags, splits = TagFile(path, SPACE), [row.split for row in read_csv(path).rows]
        assert len(rows) == frames and splits == [row["split"] for row in rows]
        for row in rows:
            assert set(tags.image(row["frame"])) == set(filter(None, row["tags"].split(", ")))
            assert set(tags.image_unknown(row["frame"])) == set(filter(None, row.get("unknown", "").split(", ")))
            assert unlisted is None or unlisted in row["unknown"]


def test_order_is_that_of_the_label_space(tmp_path):
    tags = _read(tmp_path, "tags.json", '{"0": ["Sink", " wall", "bed"]}')
    assert tags.image("frame-000000") == tags.scene == ("wall", "bed", "sink")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("tags.csv", 'frame,tags\n0,"sink, tabel"\n', "tags.csv, line 2: 'tabel' is no.* class.*nearest is 'table'"),
        ("tags.csv", "0,wall\n0 wall\n", "tags.csv, line 2: '0 wall' has no comma"),
        ("tags.csv", '0,"sofa, -sofa"\n', "tags.csv, line 1: 'sofa' is both present and absent"),
        ("tags.csv", 'frame,tags,unknown\n0,"sofa",sofa\n', "tags.csv, line 2: 'sofa' is both present and unknown"),
        ("tags.csv", "frame,tags,unknown\n0,-sofa,sofa\n", "tags.csv, line 2: 'sofa' is both absent and unknown"),
        ("tags.csv", "frame,tags,unknown\n0,wall,-sofa\n", "tags.csv, line 2: '-sofa' is no"),
        ("tags.csv", "frame,unknown\n0,sofa\n", "line 1: the columns are frame, unknown; expected 'frame'"),
        ("tags.csv", "frame,tags,split\n0,wall,bed,train\n", "line 2: 4 values; expected 3 .frame, tags, split."),
        ("tags.csv", "split,frame,tags\ntrain,0\n", "line 2: 2 values; expected 3"),
        ("tags.json", '{"7": ["bed", "-bed"]}', "tags.json, key '7': 'bed' is both present and absent"),
        ("tags.json", '{"complete": "no"}', "tags.json, key 'complete': \"no\"; expected a list"),
        ("tags.csv", "0,wall\n000,bed\n", "tags.csv, line 2: '000' appears twice"),
        ("tags.json", '{"7": ["chiar"]}', "tags.json, key '7': 'chiar' is no.* class.*nearest is 'chair'"),
        ("tags.json", '{"frames": {"7": ["bad"]}}', "tags.json, key 'frames.7': 'bad' is no.* class.*nearest is 'bed'"),
        ("tags.json", '{"scene": ["soffa"]}', "tags.json, key 'scene': 'soffa'.*'sofa'"),
        ("tags.json", '{"scene": 5}', "tags.json, key 'scene': 5; expected a list"),
        ("tags.json", '{"frames": {"7": [5]}}', r"tags.json, key 'frames.7': \[5\]; expected a list"),
        ("tags.json", '{"7": {"a": 1}}', "tags.json, key '7': .*expected a list"),
        ("tags.json", '{"7": {}}', "tags.json, key '7': .*expected a list"),
        ("tags.json", '{"frames": ["bed"]}', "tags.json, key 'frames': .*expected an object"),
        ("tags.json", '{"frames": {}, "7": ["bed"]}', "tags.json, key '7': next to 'frames'"),
        ("tags.json", '{"7": ["bed"], "07": ["sofa"]}', "tags.json, key '07': '07' appears twice"),
        ("tags.json", '{"7": ["bed"], "7": ["sofa"]}', "tags.json, key '7': '7' appears twice"),
        ("tags.json", '["bed"]', "tags.json: holds a list"),
        ("tags.json", '{"7": ["bed"]', "tags.json: not JSON .*line 1"),
        ("tags.json", "", "tags.json: not JSON"),
        ("tags.json", "[" * 100_000, "tags.json: not JSON"),
    ],
)
def test_faults_are_named(tmp_path, name, text, reason):
    with pytest.raises(BadInput, match=reason) as raised:
        _read(tmp_path, name, text)
    assert "\n" not in str(raised.value)


def test_a_folder_has_one_tag_file(tmp_path):
    assert TagFile.of(tmp_path, scannet20()) is None
    (tmp_path / "tags.json").write_text('{"scene": ["bed"]}')
    assert TagFile.of(tmp_path, scannet20()).scene == ("bed",)
    (tmp_path / "tags.csv").write_text("scene,bed\n")
    with pytest.raises(BadInput, match="both tags.csv and tags.json"):
        TagFile.of(tmp_path, scannet20())
