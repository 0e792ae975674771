"""tags.csv and tags.json: the same tags either way, and every fault with the file and the line or key."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.labels import scannet20
from wsss_ros.scenes.tags import TagFile
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


def test_order_is_that_of_the_label_space(tmp_path):
    tags = _read(tmp_path, "tags.json", '{"0": ["Sink", " wall", "bed"]}')
    assert tags.image("frame-000000") == tags.scene == ("wall", "bed", "sink")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("tags.csv", 'frame,tags\n0,"sink, tabel"\n', "tags.csv, line 2: 'tabel' is no.* class.*nearest is 'table'"),
        ("tags.csv", "0,wall\n0 wall\n", "tags.csv, line 2: '0 wall' has no comma"),
        ("tags.csv", "0,wall\n000,bed\n", "tags.csv, line 2: '000' appears twice"),
        ("tags.json", '{"7": ["chiar"]}', "tags.json, key '7': 'chiar' is no.* class.*nearest is 'chair'"),
        ("tags.json", '{"frames": {"7": ["bad"]}}', "tags.json, key 'frames.7': 'bad' is no.* class.*nearest is 'bed'"),
        ("tags.json", '{"scene": ["soffa"]}', "tags.json, key 'scene': 'soffa'.*'sofa'"),
        ("tags.json", '{"scene": "sofa"}', "tags.json, key 'scene': \"sofa\"; expected a list"),
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
