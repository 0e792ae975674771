"""Labels of ScanNet's points by segments and objects."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import scannet
from support.scannet_scan import CLASSES, NAME, ROWS, write_scan

from wsss_ros.scenes import ply
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_labels import ids_by_segment
from wsss_ros.types import BadInput


def _segmented(folder: Path, names: list[str], points: int = 200) -> None:
    """As many objects as names, of two segments each, then points of no object."""
    segments = np.minimum(np.arange(points) // 5, 2 * len(names))
    groups = [{"id": i, "objectId": i, "segments": [2 * i, 2 * i + 1], "label": n} for i, n in enumerate(names)]
    (folder / f"{NAME}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    (folder / f"{NAME}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": segments.tolist()}))


def test_points_by_segment_and_raw_category(tmp_path, labels, caplog):
    folder = write_scan(tmp_path, labels)
    (folder / f"{NAME}_vh_clean_2.labels.ply").unlink()
    _segmented(folder, [*CLASSES, "unheard of"])
    truth = ScanNetScene(folder, labels).cloud_truth()
    expected = [labels.index(name) if name else 255 for name in (*CLASSES.values(), "")]
    np.testing.assert_array_equal(truth[:120], np.repeat(expected, 10))
    assert (truth[120:] == 255).all()
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / NAME}.aggregation.json: objects left unlabelled, not in the table: unheard of"
    ]


def test_labels_ply_comes_before_segments(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    _segmented(folder, ["couch"])
    assert set(ScanNetScene(folder, labels).cloud_truth()) == {0, 4}


def test_objects_of_the_points(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    (folder / f"{NAME}.aggregation.json").unlink()
    assert ScanNetScene(folder, labels).cloud_objects() is None
    _segmented(folder, ["couch", "unheard of"])
    assert ScanNetScene(folder, labels).cloud_objects().tolist() == [0] * 10 + [1] * 10 + [-1] * 180
    _segmented(folder, ["couch"], points=190)
    with pytest.raises(BadInput, match="segs.json: segments of 190 points, and .* has 200"):
        ScanNetScene(folder, labels).cloud_objects()


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
    folder = write_scan(tmp_path, labels)
    labelled = folder / f"{NAME}_vh_clean_2.labels.ply"
    if source == "labels.ply":
        ply.write(labelled, ply.read(labelled)[:190])
    else:
        labelled.unlink()
        _segmented(folder, ["wall"], points=190)
    with pytest.raises(BadInput, match=rf"{source}: labels for 190 points, and {NAME}_vh_clean_2.ply has 200"):
        ScanNetScene(folder, labels).cloud_truth()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
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
    folder = write_scan(tmp_path, labels)
    (folder / f"{NAME}_vh_clean_2.labels.ply").unlink()
    _segmented(folder, ["wall"])
    (folder / f"{NAME}{name}").write_text(text, "latin-1")
    with pytest.raises(BadInput, match=reason):
        ScanNetScene(folder, labels).cloud_truth()
