"""Folders of photographs with tags and without poses."""

import logging

import numpy as np
import pytest
from PIL import Image
from support.paths import SHARED
from support.photo_folders import TAGS, size_of, write_photo, write_photos, write_rows

from wsss_ros.scenes import is_photo_folder, open_scene
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.types import BadInput, Photos


@pytest.fixture
def folder(tmp_path):
    return write_photos(tmp_path / "pictures")


def test_a_folder_is_read(folder, labels):
    photos = PhotoFolder(folder, labels)
    assert isinstance(photos, Photos) and photos.name == "pictures" and photos.left_out == []
    assert photos.names == list(TAGS)
    assert photos.image_tags(0) == ("wall", "counter") and photos.image_unknown(0) == ("sink",)
    assert photos.image_tags(2) == ("sofa",) and photos.image_unknown(2) == ("wall", "floor")
    for index in range(len(photos)):
        width, height = size_of(index)
        rgb = photos.rgb(index)
        assert rgb.shape == (height, width, 3) and rgb[0, -1, 0] == 20 * index and rgb[0, 0, 0] == 20 * index + 100
    assert photos.truth(0) is None


def test_split_and_pattern_select(folder, labels):
    assert PhotoFolder(folder, labels, "val").names == ["d"]
    assert PhotoFolder(folder, labels, include="kitchen/*").names == ["kitchen/a", "kitchen/b"]
    assert PhotoFolder(folder, labels, "train", "*/[bc]").names == ["kitchen/b", "living/c"]
    with pytest.raises(BadInput, match="no row with split 'test' and a frame like 'living/\\*'"):
        PhotoFolder(folder, labels, "test", "living/*")


def test_dense_labels_are_ids(folder, labels):
    ids = np.full((40, 60), labels.ids[3], np.uint8)
    ids[0, :2] = 0, 99
    (folder / "label" / "kitchen").mkdir(parents=True)
    Image.fromarray(ids).save(folder / "label/kitchen/a.png")
    photos = PhotoFolder(folder, labels)
    truth = photos.truth(0)
    assert truth.shape == (40, 60) and truth[0, :3].tolist() == [255, 255, 3] and photos.truth(1) is None
    assert photos.names == list(TAGS), "a label is not a photograph"


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"missing": ("wall", "", "train")}, "line 6: no picture 'missing' with one of .jpg"),
        ({"d": ("wall, armchair", "", "val")}, "line 5: 'armchair' is not a class"),
        ({"d": ("wall", "floor, wall", "val")}, "line 5: 'wall'"),
        ({"kitchen/a ": ("wall", "", "val")}, "line 6: 'kitchen/a' appears twice"),
    ],
)
def test_a_bad_row_leaves_out_one_photograph(folder, labels, change, reason, caplog):
    caplog.set_level(logging.WARNING, "wsss_ros")
    rows = {**TAGS, **change}
    write_rows(folder, rows)
    photos = PhotoFolder(folder, labels)
    assert len(photos) == len(rows) - 1
    ((frame, told),) = photos.left_out
    assert reason in told and frame == next(iter(change)).strip() and reason in caplog.text


def test_two_pictures_of_one_name_leave_it_out(folder, labels):
    write_photo(folder / "d.jpg", 1)
    assert "'d' may be d.jpg or d.png" in PhotoFolder(folder, labels).left_out[0][1]
    write_rows(folder, {"d.png": ("wall", "", ""), "d.jpg": ("floor", "", "")})
    photos = PhotoFolder(folder, labels)
    assert photos.left_out == [] and photos.names == ["d.png", "d.jpg"], "a row with the extension says which"
    assert [photos.image_tags(index) for index in (0, 1)] == [("wall",), ("floor",)]
    assert photos.rgb(0).shape == (*size_of(3)[::-1], 3) and photos.rgb(1).shape == (*size_of(1)[::-1], 3)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("frame,split\nd,val\n", "the columns are frame, split; expected 'frame' and 'tags'"),
        ("frame,tags\n", "tags.csv: no row$"),
        ("frame,tags\nx,wall\ny,wall\n", "none of 2 photographs can be used; the first: .* no picture 'x'"),
    ],
)
def test_nothing_to_use(folder, labels, text, reason):
    (folder / "tags.csv").write_text(text)
    with pytest.raises(BadInput, match=reason):
        PhotoFolder(folder, labels)


def test_a_split_needs_its_column(folder, labels):
    with pytest.raises(BadInput, match="no row with split 'test'; its splits are train, val"):
        PhotoFolder(folder, labels, "test")
    (folder / "tags.csv").write_text("frame,tags\nd,wall\n")
    assert PhotoFolder(folder, labels).names == ["d"]
    with pytest.raises(BadInput, match="no row with split 'val'; its splits are not given"):
        PhotoFolder(folder, labels, "val")


def test_a_broken_line_leaves_out_itself(folder, labels):
    path = folder / "tags.csv"
    path.write_text(path.read_text() + 'a, b, "c", d, e, f, g, h\n"open quote\nliving/c2,wall,,train\n')
    photos = PhotoFolder(folder, labels)
    assert photos.names == list(TAGS)
    assert [name for name, _ in photos.left_out] == ["tags.csv", "tags.csv", "living/c2"]
    assert "line 6: 8 values; expected 5" in photos.left_out[0][1]


def test_columns_in_another_order_and_signs(folder, labels):
    (folder / "tags.csv").write_text('tags,frame\n"wall, -sofa, ?bed",d\n')
    assert is_photo_folder(folder)
    photos = PhotoFolder(folder, labels)
    assert photos.image_tags(0) == ("wall",) and photos.image_unknown(0) == ("bed",)
    unlisted = set(labels.names) - {"wall", "sofa"}
    assert set(PhotoFolder(folder, labels, complete=False).image_unknown(0)) == unlisted


def test_missing_folders_and_tags(tmp_path, labels):
    with pytest.raises(BadInput, match="no such folder; expected a folder of photographs"):
        PhotoFolder(tmp_path / "none", labels)
    with pytest.raises(BadInput, match="no tags; expected tags.csv"):
        PhotoFolder(tmp_path, labels)


def test_photographs_are_not_a_scene(folder, labels):
    assert is_photo_folder(folder) and not is_photo_folder(folder / "kitchen")
    with pytest.raises(BadInput, match="photographs with tags.csv and no poses"):
        open_scene(folder, labels)


@pytest.mark.skipif(not (SHARED / "office").is_dir(), reason="no real data at ../shared/data")
def test_posed_frames_with_tags_are_a_scene():
    assert not is_photo_folder(SHARED / "office") and is_photo_folder(SHARED / "homes")


@pytest.mark.skipif(not (SHARED / "homes").is_dir(), reason="no real data at ../shared/data")
def test_real_photographs(labels):
    photos = PhotoFolder(SHARED / "homes", labels, "train", "free/*")
    assert len(photos) == 320 and photos.left_out == [] and photos.image_unknown(0) == ("bookshelf", "otherfurniture")
    val = PhotoFolder(SHARED / "photos", labels, "val")
    assert len(val) == 20 and all(val.truth(i).shape == val.rgb(i).shape[:2] for i in range(3))
