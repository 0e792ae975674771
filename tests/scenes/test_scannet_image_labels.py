"""Labels of ScanNet's images: raw ids, the table, folders and zips."""

from pathlib import Path

import numpy as np
import pytest
from support.scannet_room import remove_lines
from support.scannet_scan import (
    CLASSES,
    NAME,
    ROWS,
    TSV,
    add_sens,
    add_zip,
    png_bytes,
    raw_ids,
    recorded_views,
    write_scan,
)

from wsss_ros.scenes import images
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_labels import LABEL_TABLE, LabelTable
from wsss_ros.types import BadInput

QUOTED_TSV = "id\traw_category\tcategory\tnyu40id\n" + "".join(
    f"{row}\n"
    for row in (
        "1\twall\twall\t1",
        '2\t"chair\tchair\t5',  # a stray quote must not swallow the rows behind it
        "6\tcouch\tcouch\t6",
        "8\tshelf\tshelf\t15",
        "28\tdoorframe\tdoorframe\t8",
        "80\tblinds\tblinds\t13",
        "1163\ttrash can\ttrash can\t39",
        "1164\tobject\tobject\t",
    )
)


def _as_raw(folder: Path, ids: list[int]) -> None:
    """The folder as if it came from ScanNet: raw ids in label-filt."""
    remove_lines(folder, "labelIds")
    row = np.array(ids + [0] * (32 - len(ids)), np.uint16)
    for i in range(3):
        images.write_uint16(folder / "label-filt" / f"{i}.png", np.tile(row, (24, 1)))


def test_raw_ids_follow_the_table(folder, labels):
    """Shelf is no bookshelf (15), blinds (13) are ignored, couch is sofa, trash can is otherfurniture."""
    _as_raw(folder, [1, 2, 6, 8, 28, 80, 1163, 1164, 9999])
    (folder.parent / LABEL_TABLE).write_text(QUOTED_TSV)
    (folder.parent / "scans").mkdir()
    truth = ScanNetScene(folder.rename(folder.parent / "scans" / "room"), labels).frame_truth(0)[3, :9]
    names = [labels.names[label] if label < 255 else "" for label in truth]
    assert names == ["wall", "chair", "sofa", "", "door", "", "otherfurniture", "", ""]


def test_raw_ids_without_the_table_are_refused(folder, labels):
    _as_raw(folder, [1, 2])
    scene = ScanNetScene(folder, labels)
    assert scene.tags == ("wall", "floor", "chair")  # the points' labels need no table
    for ask in (scene.frame_truth, scene.image_tags):
        with pytest.raises(BadInput, match="scannetv2-labels.combined.tsv"):
            ask(0)


def test_broken_table_is_named(folder, labels):
    (folder / LABEL_TABLE).write_text("id,nyu40id\n1,1\n")
    _as_raw(folder, [1])
    with pytest.raises(BadInput, match="combined.tsv.*nyu40id"):
        ScanNetScene(folder, labels).frame_truth(0)


def test_zipped_labels_follow_the_table(tmp_path, labels):
    """Every row above, raw ids to classes, with nothing unpacked to the disk."""
    folder = write_scan(tmp_path, labels)
    add_sens(folder, recorded_views(len(ROWS)))
    add_zip(folder, {"label-filt/": b""} | {f"label-filt/{i}.png": png_bytes(raw_ids(i)) for i in range(len(ROWS))})
    before, scene = sorted(tmp_path.rglob("*")), ScanNetScene(folder, labels)
    for i, row in enumerate(ROWS):
        truth, name = scene.frame_truth(i), CLASSES[row[1]]
        inside = truth[1:-1, 1:-1]  # depth sees a pixel more on each side
        assert truth.shape == (24, 32) and (inside[-8:] == 0).all(), row
        assert (inside[:8] == (labels.index(name) if name else 255)).all(), row
        assert set(scene.image_tags(i)) == {"wall", name} - {""}
    assert sorted(tmp_path.rglob("*")) == before


def test_only_the_labels_asked_for_are_read(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    add_sens(folder, recorded_views(4))
    members = {f"label-filt/{i}.png": b"rubbish" for i in (0, 1)} | {"label-filt/2.png": png_bytes(raw_ids(1))}
    path = add_zip(folder, members)
    scene = ScanNetScene(folder, labels)
    assert scene.image_tags(2) == ("wall", "chair") and scene.image_tags(3) is None and scene.frame_truth(3) is None
    with pytest.raises(BadInput, match=f"{path.name}, label-filt/0.png: cannot be decoded"):
        scene.frame_truth(0)


def test_broken_zips_are_named(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    add_sens(folder, recorded_views(1))
    path = add_zip(folder, {"label-filt/0.png": png_bytes(raw_ids(0))})
    complete = path.read_bytes()
    for data in (complete[: len(complete) // 2], b"", b"rubbish" * 99):
        path.write_bytes(data)
        with pytest.raises(BadInput, match=f"{path.name}: cannot be opened"):
            ScanNetScene(folder, labels).image_tags(0)
    path.write_bytes(complete[:60] + bytes(b ^ 255 for b in complete[60:80]) + complete[80:])
    with pytest.raises(BadInput, match=f"{path.name}, label-filt/0.png: cannot be unpacked") as raised:
        ScanNetScene(folder, labels).frame_truth(0)
    assert "\n" not in str(raised.value)


def test_filtered_labels_come_first_and_folders_before_zips(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    add_sens(folder, recorded_views(1))
    ask = lambda: ScanNetScene(folder, labels).image_tags(0)[-1]  # noqa: E731
    add_zip(folder, {"label/0.png": png_bytes(raw_ids(1))}, "_2d-label.zip")
    assert ask() == "chair"
    add_zip(folder, {"label-filt/0.png": png_bytes(raw_ids(2))})
    assert ask() == "sofa"
    (folder / "label").mkdir()
    images.write_uint16(folder / "label" / "0.png", raw_ids(4))
    assert ask() == "door"
    (folder / "label-filt").mkdir()
    images.write_uint16(folder / "label-filt" / "0.png", raw_ids(7))
    assert ask() == "otherfurniture"


def test_labels_of_images_and_points_without_the_table(tmp_path, labels):
    folder = write_scan(tmp_path, labels)
    add_sens(folder, recorded_views(1))
    add_zip(folder, {"label-filt/0.png": png_bytes(raw_ids(0))})
    (tmp_path / LABEL_TABLE).unlink()
    with pytest.raises(BadInput, match=f"'{LABEL_TABLE}' is neither here"):
        ScanNetScene(folder, labels).frame_truth(0)
    (folder / f"{NAME}_vh_clean_2.labels.ply").unlink()
    with pytest.raises(BadInput, match=f"'{LABEL_TABLE}' is neither here"):
        ScanNetScene(folder, labels).cloud_truth()


def test_the_table_follows_ids_not_names(tmp_path):
    (tmp_path / LABEL_TABLE).write_text(TSV)
    table = LabelTable(tmp_path / LABEL_TABLE)
    traps = {"shelf": 15, "blinds": 13, "doorframe": 8, "couch": 6, "trash can": 39, "radiator": 39, "monitor": 40}
    assert {name: table.of_name[name] for name in traps} == traps and table.of_name["object"] == 0
    assert [table.of_id[raw] for raw in (8, 80, 28, 6, 12, 98, 49, 1164, 65535)] == [15, 13, 8, 6, 39, 39, 40, 0, 0]
