"""Photographs as phones and computers leave them, and their tags as Excel and annotation programs write them."""

import json
import logging
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from wsss_ros.label_files.sources import Source
from wsss_ros.labels import scannet20
from wsss_ros.scenes.images import image_size, read_photo, read_rgb
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.scenes.photos import PhotoFolder, loose_pictures
from wsss_ros.scenes.tag_report import read_report
from wsss_ros.types import BadInput

SPACE = scannet20()
RGB = np.zeros((16, 24, 3), np.uint8)
RGB[:8, :8] = 250, 0, 0  # the top left corner is red
EXPECTED = {"a": ("chair", "sofa"), "b": ("table",), "c": ()}


def put(folder, names=("a.jpg", "b.jpg", "c.jpg")):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RGB).save(folder / name)
    return folder


def tags_of(folder):
    photos = PhotoFolder(folder, SPACE)
    assert photos.left_out == []
    return {name: photos.image_tags(index) for index, name in enumerate(photos.names)}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "orientation, turn",
    [
        (1, lambda rgb: rgb),
        (2, lambda rgb: rgb[:, ::-1]),
        (3, lambda rgb: rgb[::-1, ::-1]),
        (6, lambda rgb: np.rot90(rgb, -1)),
        (8, lambda rgb: np.rot90(rgb)),
    ],
)
def test_photographs_are_turned_as_exif_says(tmp_path, orientation, turn, ending):
    """Frames with depth are not: their depth is stored unturned."""
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = orientation
    exact = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}, "png": {}}[ending]
    image.save(put(tmp_path, ()) / f"a.{ending}", exif=exif, **exact)
    (tmp_path / "tags.csv").write_text(f"frame,tags\na.{ending},chair\n")
    photo = PhotoFolder(tmp_path, SPACE).rgb(0)
    (labelled, _) = next(Source.of_pictures("x", [tmp_path / f"a.{ending}"]).frames())
    for found in (photo, labelled.rgb):
        assert found.shape == turn(RGB).shape
        np.testing.assert_allclose(found.astype(int), turn(RGB), atol=4 if ending == "jpg" else 0)
    assert read_rgb(tmp_path / f"a.{ending}").shape == RGB.shape


def test_grey_images_of_16_bits_keep_their_range(tmp_path):
    grey = np.arange(384, dtype=np.uint16).reshape(16, 24) * 170
    Image.fromarray(grey).save(tmp_path / "g.png")
    expected = np.repeat(np.rint(grey / 257).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_rgb(tmp_path / "g.png"), expected)
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(BadInput, match="f.tif: cannot be decoded .an image of floats"):
        read_rgb(tmp_path / "f.tif")


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "the file is empty"),
        (b"<html>404", "not an image, it starts with b'<html>40'"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "a HEIC photograph, which is not read: convert it to JPEG"),
    ],
)
def test_a_file_that_is_not_a_picture_says_what_it_is(tmp_path, data, reason):
    (tmp_path / "a.jpg").write_bytes(data)
    for read in (read_rgb, read_photo, image_size):
        with pytest.raises(BadInput, match=f"a.jpg: cannot be decoded .{reason}"):
            read(tmp_path / "a.jpg")


def test_files_of_operating_systems_are_not_pictures_or_labels(tmp_path):
    put(tmp_path)
    for name in ("._a.jpg", "__MACOSX/a.jpg", ".thumbs/a.jpg", "@eaDir/a.jpg", "label/._a.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "tags.csv").write_text('frame,tags\na,"chair,sofa"\nb,table\nc,\n')
    assert tags_of(tmp_path) == EXPECTED and read_report(tmp_path, SPACE).without == []
    assert [path.name for path in loose_pictures(tmp_path)] == ["a.jpg", "b.jpg", "c.jpg"]
    assert LabelImages(tmp_path / "label", SPACE).files == {}


def test_folders_of_pictures_may_be_links(tmp_path):
    put(tmp_path / "disk")
    (tmp_path / "mine").mkdir()
    os.symlink(tmp_path / "disk", tmp_path / "mine" / "kitchen")
    os.symlink(tmp_path / "mine", tmp_path / "disk" / "back")  # a circle
    (tmp_path / "mine" / "tags.csv").write_text("frame,tags\nkitchen/a.jpg,table\nb,bed\n")
    assert tags_of(tmp_path / "mine") == {"kitchen/a": ("table",), "kitchen/b": ("bed",)}


def test_pictures_that_are_not_read_are_named(tmp_path, caplog):
    put(tmp_path)
    for name in ("IMG_1.HEIC", "IMG_2.heic"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "tags.csv").write_text("frame,tags\nIMG_1,chair\nIMG_2.HEIC,bed\na,table\n")
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        photos = PhotoFolder(tmp_path, SPACE)
    assert "2 pictures are not read: IMG_1.HEIC, IMG_2.heic; convert them to JPEG" in caplog.text
    assert photos.names == ["a"] and all("its format is not read" in reason for _, reason in photos.left_out)


def test_results_of_two_pictures_never_have_one_name(tmp_path):
    put(tmp_path, ("a.jpg", "a.png"))
    with pytest.raises(BadInput, match=r"a.jpg and a.png have one name; rename or remove"):
        Source.of_pictures("x", loose_pictures(tmp_path))


# --- tags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("sep=;\r\nframe;tags\r\na.jpg;chair, sofa\r\nb.jpg;table\r\nc.jpg;\r\n", id="sep= of Excel"),
        pytest.param('frame,tags,,\na.jpg,"chair, sofa",,\nb.jpg,table,,\nc.jpg,,,\n,,,\n', id="empty columns"),
        pytest.param('frame,tags\na.jpg,"chair\nsofa"\nb.jpg,table\nc.jpg,\n', id="lines in a cell"),
        pytest.param("# mine\n\nframe,tags\na.jpg,chair;sofa\nb.jpg,table\nc.jpg,\n", id="a comment"),
        pytest.param(
            "frame,tags\na.jpg,chair\uff0csofa\nb.jpg,\u201ctable\u201d\nc.jpg,\u200b\n", id="signs of writers"
        ),
        pytest.param("frame,tags\nC:\\me\\a.jpg,chair;sofa\n/home/me/x/b.jpg,table\n./c.JPG,\n", id="other machines"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_excel_and_of_writers(tmp_path, text, encoding):
    (put(tmp_path) / "Tags.CSV").write_bytes(text.encode(encoding))
    assert tags_of(tmp_path) == EXPECTED and read_report(tmp_path, SPACE).usable


@pytest.mark.parametrize("yes, no", [("WAHR", "FALSCH"), ("VRAI", "FAUX"), ("VERDADERO", "FALSO"), (" 1", " 0")])
def test_a_column_a_class_in_other_languages(tmp_path, yes, no):
    """With an empty last column; also Roboflow's name of the file."""
    rows = [f"a.jpg,{yes},{yes},{no},", f"b.jpg,{no},{no},{yes},", f"c.jpg,{no},{no},{no},"]
    (put(tmp_path) / "_classes.csv").write_text("\n".join(["filename, chair, sofa, table,", *rows]))
    report = read_report(tmp_path, SPACE)
    assert tags_of(tmp_path) == EXPECTED and not any("left out" in note for note in report.notes)
    assert set(PhotoFolder(tmp_path, SPACE).image_unknown(0)) == set(SPACE.names) - {"chair", "sofa", "table"}


def test_names_without_leading_zeros_and_with_accents_of_macos(tmp_path):
    put(tmp_path, ("0001.jpg", unicodedata.normalize("NFD", "K\u00fcche.jpg")))
    (tmp_path / "tags.csv").write_text("frame,tags\n1,chair\nK\u00fcche.jpg,table\n")
    assert list(tags_of(tmp_path).values()) == [("chair",), ("table",)]


def test_yolo_in_parts(tmp_path):
    """Ultralytics has labels/train next to images/train, Roboflow train/labels, and one data.yaml for all."""
    for part in ("train", "val"):
        put(tmp_path, (f"images/{part}/a.jpg", f"{part}/images/a.jpg"))
        for place in (f"labels/{part}", f"{part}/labels"):
            (tmp_path / place).mkdir(parents=True)
            (tmp_path / place / "a.txt").write_text("1 .5 .5 .1 .1\n")
            (tmp_path / place / "._a.txt").write_bytes(b"\0\5\x16\7\xb0")
    (tmp_path / "data.yaml").write_text("names: [chair, table]\n")
    assert tags_of(tmp_path / "train") == {"images/a": ("table",)}
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / part / kind).rename(tmp_path / f"{part}-{kind}")
    assert tags_of(tmp_path) == {"images/train/a": ("table",), "images/val/a": ("table",)}


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("tags.csv", b"PK\x03\x04..", "a workbook, not text; save its sheet as CSV UTF-8"),
        ("tags.xlsx", b"PK\x03\x04..", "no tags; .* tags.xlsx is a workbook"),
        ("tags.csv", b"frame,tags\n", "has no row"),
        ("tags.csv", b"filename,region_count,region_id\na.jpg,1,0\n", "none of its classes .region_count, region_id."),
        (
            "tags.json",
            json.dumps({"images": [], "annotations": [], "categories": [{"id": 0, "name": "dog"}]}),
            "none of its classes .dog.",
        ),
        ("annotations.xml", "<annotations><track label='chair'/></annotations>", "CVAT for video"),
    ],
)
def test_tags_that_cannot_be_used(tmp_path, name, content, reason):
    (put(tmp_path) / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=reason):
        read_report(tmp_path, SPACE)


def test_a_row_that_may_be_two_pictures_is_a_fault(tmp_path):
    put(tmp_path, ("x/a.jpg", "y/a.jpg", "y/b.jpg"))
    (tmp_path / "tags.csv").write_text("frame,tags\na.jpg,chair\nb.jpg,table\n")
    report = read_report(tmp_path, SPACE)
    assert "'a.jpg' may be x/a or y/a" in report.why_not and report.unmatched == []


def test_names_in_an_old_encoding_are_doubted(tmp_path):
    (put(tmp_path, ("\u5ba2\u5385.jpg",)) / "tags.csv").write_bytes("frame,tags\n\u5ba2\u5385,chair\n".encode("gbk"))
    report = read_report(tmp_path, SPACE)
    assert any("save it as UTF-8" in note for note in report.notes)
    assert report.why_not == "none of its 1 rows matches an image"
