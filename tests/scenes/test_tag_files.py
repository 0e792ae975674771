"""Tags in the forms of people and of annotation programs: all forms of one content are read to the same tags."""

import csv
import io
import json
import logging

import numpy as np
import pytest
import typer
from PIL import Image

from wsss_ros.cli.tags import tags as command
from wsss_ros.labels import LabelSpace, scannet20
from wsss_ros.scenes import is_photo_folder, tag_files
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.scenes.tag_report import read_report
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput

SPACE = scannet20()
TAGS = {"a": ["chair", "sofa"], "b c": ["shower curtain"], "d": []}
JUDGED = ["chair", "sofa", "shower curtain", "bed"]


@pytest.fixture
def folder(tmp_path):
    for name in TAGS:
        Image.fromarray(np.full((8, 10, 3), 90, np.uint8)).save(tmp_path / f"{name}.jpg")
    return tmp_path


def put(folder, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def check(folder, judged: list[str] | None = None, missing: str = "", names=TAGS) -> None:
    """The photographs have the tags of ``TAGS``; classes outside ``judged`` are unknown."""
    assert is_photo_folder(folder)
    photos = PhotoFolder(folder, SPACE)
    assert sorted(photos.names) == sorted(set(names) - {missing}) and photos.left_out == []
    for index, name in enumerate(photos.names):
        assert set(photos.image_tags(index)) == set(TAGS[name]), name
        unknown = set() if judged is None else set(SPACE.names) - set(judged)
        assert set(photos.image_unknown(index)) == unknown


def lists(separator: str = ",", quote: str = '"', head: str = "") -> str:
    inner = ", " if separator != "," or quote else ","
    rows = (f"{name}{separator}{quote}{inner.join(tags)}{quote}\n" for name, tags in TAGS.items())
    return head + "".join(rows)


MATRIX = "image;{}\na.jpg;1;1;0;0\nb c.jpg;0;0;1;0\nd.jpg;0;0;0;0\n".format(";".join(JUDGED))
ONE = [("a", "Chair"), ("a", "sofa"), ("b c", "shower_curtain"), ("d", "")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "judged"),
    [
        (lists(head="frame,tags\n"), None),
        (lists(), None),
        (lists(";", ""), None),
        (lists("\t", "", "Image\tLabels\n"), None),
        (lists(";", head="file_name;classes\n"), None),
        ('image,tags\na.jpg,"[\'Chair\', \'sofa\']"\nb c.jpg,"[""shower-curtain""]"\nd.jpg,[]\n', None),
        ("image,labels\na,chair|sofa\nb c,shower curtain\nd,\n", None),
        ("image,labels\na,chair;sofa\nb c,shower curtain\nd,\n", None),
        ("filename,class\n" + "".join(f"{name}.jpg,{tag}\n" for name, tag in ONE), None),
        ("class\tpath\n" + "".join(f"{tag}\tC:\\mine\\{name}.jpg\n" for name, tag in ONE), None),
        ("".join(f"{name};{tag}\n" for name, tag in ONE[:3]) + "d;\n", None),
        (MATRIX, JUDGED),
        (MATRIX.replace("0", "no").replace("1", "Yes"), JUDGED),
        (MATRIX.replace(";0", ";").replace(";", ","), JUDGED),
        (MATRIX.replace("0", "-1").replace(";", "\t"), JUDGED),
        ("width;" + MATRIX.strip().replace("\n", "\n640;") + "\n", JUDGED),
    ],
)  # fmt: skip
def test_tables(folder, text, judged, encoding, end):
    if text == "".join(f"{name};{tag}\n" for name, tag in ONE[:3]) + "d;\n":
        text = text.replace("d;\n", "")
        put(folder, {"tags.csv": text.replace("\n", end).encode(encoding)})
        return check(folder, judged, missing="d")
    put(folder, {"tags.csv": text.replace("\n", end).encode(encoding)})
    return check(folder, judged)


def test_names_outside_ascii_in_any_encoding(tmp_path):
    space = LabelSpace("büro", ("stuhl", "tür"), ((255, 0, 0), (0, 255, 0)), (1, 2))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "küche.png")
    for encoding in ("utf-8", "utf-16", "latin-1"):
        put(tmp_path, {"tags.csv": "frame;tags\r\nküche.png;TÜR\r\n".encode(encoding)})
        assert PhotoFolder(tmp_path, space).image_tags(0) == ("tür",)


def test_an_empty_cell_next_to_written_zeros_is_unknown(folder):
    put(folder, {"tags.csv": "frame,chair,sofa,bed\na,1,1,\nb c,0,?,0\n"})
    photos = PhotoFolder(folder, SPACE)
    assert photos.image_tags(0) == ("chair", "sofa") and "bed" in photos.image_unknown(0)
    assert "sofa" in photos.image_unknown(1) and not {"chair", "bed"} & set(photos.image_unknown(1))


COCO = {
    "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(TAGS)],
    "categories": [{"id": 7 + i, "name": name} for i, name in enumerate([*JUDGED, "zebra"])],
    "annotations": [
        {"id": 0, "image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4]},
        {"id": 1, "image_id": 0, "category_id": 7, "bbox": [5, 2, 3, 4]},
        {"id": 2, "image_id": 0, "category_id": 8, "segmentation": []},
        {"id": 3, "image_id": 1, "category_id": 9},
        {"id": 4, "image_id": 2, "category_id": 11},
    ],
}


@pytest.mark.parametrize(
    "name", ["tags.json", "annotations.json", "annotations/instances_default.json", "_annotations.coco.json"]
)
def test_coco(folder, name, caplog):
    caplog.set_level(logging.INFO)
    put(folder, {name: json.dumps(COCO)})
    check(folder, JUDGED)
    assert "names that are not classes of 'scannet20', left out: zebra (1)" in caplog.text
    assert "classes that the file does not judge: wall, floor" in caplog.text


def test_a_json_list(folder):
    rows = [{"image": f"{name}.jpg", "labels": tags} for name, tags in TAGS.items()]
    put(folder, {"tags.json": json.dumps(rows)})
    check(folder)
    put(folder, {"tags.json": json.dumps([{"file": name, "label": tag} for name, tag in ONE[:3]]).encode("utf-16")})
    check(folder, missing="d")


def voc(name: str, tags: list[str]) -> str:
    objects = "".join(f"<object><name>{tag}</name><bndbox><xmin>1</xmin></bndbox></object>" for tag in [*tags, *tags])
    return f"<?xml version='1.0'?><annotation><filename>{name}.jpg</filename>{objects}</annotation>"


@pytest.mark.parametrize("place", ["Annotations/", ""])
def test_pascal_voc(folder, place):
    put(folder, {f"{place}{name}.xml": voc(name, tags) for name, tags in TAGS.items()})
    check(folder)


def test_labelme(folder):
    for name, tags in TAGS.items():
        shapes = [{"label": tag, "points": [[0, 0], [1, 1]], "shape_type": "rectangle"} for tag in tags[:1] * 2]
        content = {"version": "5", "flags": dict.fromkeys(tags[1:], True) | {"bed": False}, "shapes": shapes}
        put(folder, {f"{name}.json": json.dumps(content | {"imagePath": f"..\\{name}.jpg", "imageData": None})})
    check(folder)


def test_cvat(folder):
    labels = "".join(f"<label><name>{name}</name><attributes></attributes></label>" for name in JUDGED)
    kinds = ('<box label="{}" xtl="1"/>', '<tag label="{}"/>')
    images = ""
    for name, tags in TAGS.items():
        parts = "".join(kind.format(tag) for tag, kind in zip(tags, kinds, strict=False))
        images += f'<image id="0" name="{name}.jpg">{parts}</image>'
    text = f"<annotations><meta><task><labels>{labels}</labels></task></meta>{images}</annotations>"
    put(folder, {"annotations.xml": text})
    check(folder, JUDGED)


@pytest.mark.parametrize("names", ["data.yaml", "classes.txt", "labels/classes.txt"])
def test_yolo(tmp_path, names):
    boxes = {"a": "0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n0 .1 .1 .1 .1\n", "b c": "2 0.1 0.2 0.3 0.1 0.2 0.5\n", "d": ""}
    as_text = "train: images\nnames: {0: Chair, 1: couch, 2: shower_curtain, 3: bed}\n"
    put(tmp_path, {names: as_text if names == "data.yaml" else "chair\ncouch\nshower curtain\nbed\n"})
    for name, text in boxes.items():
        put(tmp_path, {f"labels/train/{name}.txt": text})
        (tmp_path / "images/train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"images/train/{name}.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images/cover.png")
    assert is_photo_folder(tmp_path)
    photos = PhotoFolder(tmp_path, SPACE)
    assert {name.rpartition("/")[2]: set(photos.image_tags(i)) for i, name in enumerate(photos.names)} == {
        name: set(tags) for name, tags in TAGS.items()
    }
    assert set(photos.image_unknown(0)) == set(SPACE.names) - set(JUDGED)


def test_masks(folder):
    for name, tags in TAGS.items():
        mask = np.zeros((8, 10), np.uint8)
        for row, tag in enumerate(tags):
            mask[row] = SPACE.ids[SPACE.index(tag)]
        (folder / "label").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "label" / f"{name}.png")
    check(folder)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"annotations.json": json.dumps(COCO | {"annotations": [{"image_id": 99, "category_id": 7}]})}, "image 99 or"),
        ({"annotations.json": json.dumps(COCO | {"images": [{}]})}, "annotations.json: KeyError"),
        ({"annotations.json": json.dumps(COCO | {"categories": [{"id": 7, "name": "chairs"}], "annotations": []})},
         "'chairs' is not a class of 'scannet20'; the nearest is 'chair': rename it, or add 'chairs: chair' to"),
        ({"tags.json": "[1, 2]"}, "tags.json: holds a list"),
        ({"tags.json": '[{"image": "a"}]'}, "tags.json, entry 0: expected an object with 'frame' and 'tags'"),
        ({"Annotations/a.xml": "<a>"}, "a.xml: not XML"),
        ({"Annotations/a.xml": "<a/>"}, "a.xml: holds <a>; expected <annotation>"),
        ({"tags.xml": '<!DOCTYPE x [<!ENTITY a "b">]><annotations/>'}, "tags.xml: defines entities"),
        ({"labels/a.txt": "0 1 1 1 1"}, "boxes of YOLO without the names of their classes; add one of data.yaml"),
        ({"labels/a.txt": "9 1 1 1 1", "classes.txt": "chair"}, "a.txt, line 1: '9 1 1 1 1'; expected a class of 0..0"),
        ({"tags.csv": "frame,chair,bed\na,1,0\nd,-1,0\n"}, "the classes have 1, 0 and -1; write \\? for a class"),
        ({"tags.csv": "a,b", "tags.tsv": "a\tb"}, "has both tags.csv and tags.tsv"),
        ({"annotations.json": json.dumps(COCO), "Annotations/a.xml": voc("a", [])}, "has both annotations.json and A"),
    ],
)  # fmt: skip
def test_faults(folder, files, words):
    put(folder, files)
    with pytest.raises(BadInput, match=words):
        PhotoFolder(folder, SPACE)


def test_rows_and_pictures_without_each_other_are_named(folder, caplog):
    caplog.set_level(logging.INFO)
    put(folder, {"tags.csv": "frame,tags\nA.JPG,chair\nx/y.png,bed\n"})
    photos = PhotoFolder(folder, SPACE)
    assert photos.names == ["a"] and photos.left_out[0][0] == "x/y.png"
    assert "2 pictures have no row: b c, d" in caplog.text
    (folder / "z").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "z/a.png")
    (folder / "a.jpg").unlink()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "b.png")
    put(folder, {"tags.csv": "frame,tags\nq/a.jpg,chair\nb,bed\n"})
    assert PhotoFolder(folder, SPACE).names == ["z/a", "b"]
    (folder / "w").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "w/a.png")
    assert "'q/a.jpg' may be w/a or z/a" in PhotoFolder(folder, SPACE).left_out[0][1]


def test_rows_of_scenes_may_have_paths_and_extensions(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    put(tmp_path, {"tags.csv": "image;tags\nrgb\\000012.color.jpg;chair\n13.png;sofa\n99;bed\nscene;wall\n"})
    tags = TagFile(tmp_path / "tags.csv", SPACE)
    assert tags.image("frame-000012") == ("chair",) and tags.image("000013") == ("sofa",) and tags.scene == ("wall",)
    tags.report_unmatched(["frame-000012", "frame-000013", "frame-000014"])
    assert "1 rows fit no frame: 99" in caplog.text and "1 of 3 frames have no row: frame-000014" in caplog.text


# --- the report ---


def test_report_of_photographs(folder):
    put(folder, {"tags.csv": "image,tags\na.jpg,chair|sofa\nd,?bed\nnone.jpg,wall\n"})
    report = read_report(folder, SPACE)
    assert report.counts["chair"] == (1, 2, 0) and report.counts["bed"] == (0, 2, 1) and report.usable
    assert (report.unmatched, report.without) == (["none.jpg"], ["b c"])
    put(folder, {"again.csv": report.as_csv()})
    again = read_report(folder / "again.csv", SPACE)
    assert again.lists == report.lists and again.counts == report.counts and again.without is None


def test_report_names_all_faults(folder):
    put(folder, {"tags.csv": 'frame,tags\na,"chiar, sofa"\nb c,tabel\nd,wall\nd.jpg,bed\n'})
    report = read_report(folder, SPACE)
    assert not report.usable and len(report.faults) == 3
    assert "line 2: 'chiar' is not a class of 'scannet20'; the nearest is 'chair'" in report.faults[0]
    assert "line 5: 'd.jpg' and 'd' are one image" in report.faults[2]


def test_report_of_a_scene(tmp_path):
    for number in range(3):
        (tmp_path / f"frame-{number}.pose.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / f"frame-{number}.color.png")
        Image.fromarray(np.full((30, 40), 2000, np.uint16)).save(tmp_path / f"frame-{number}.depth.png")
    (tmp_path / "camera-intrinsics.txt").write_text("40 0 19.5\n0 40 14.5\n0 0 1\n")
    with pytest.raises(BadInput, match="a scene without tags; expected one of tags.csv"):
        read_report(tmp_path, SPACE)
    put(tmp_path, {"tags.csv": '0,chair\n000001,\nscene,"wall, chair"\n7,bed\n'})
    report = read_report(tmp_path, SPACE)
    assert report.unmatched == ["7"] and report.without == ["frame-2"] or report.without == ["2"]
    assert report.scene.present == ("wall", "chair") and report.counts["chair"] == (1, 2, 0)


def test_the_command(folder, tmp_path, capsys):
    put(folder, {"tags.csv": "image,tags\na.jpg,chair|sofa\nnone.jpg,wall\n"})
    command(folder, "scannet20", True, tmp_path / "out.csv")
    printed = capsys.readouterr().out
    assert "2 images with tags, of the classes of 'scannet20'" in printed
    assert "rows that match no image: 1\n  none.jpg" in printed and "images without a row: 2\n  b c, d" in printed
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == 'a,"chair, sofa",'
    put(folder, {"tags.csv": "image,tags\na.jpg,chiar\n"})
    with pytest.raises(typer.Exit) as ended:
        command(folder, "scannet20", True, None)
    assert ended.value.exit_code == 1 and "the nearest is 'chair'" in capsys.readouterr().out
    assert tag_files.find(folder / "nothing") == []


# --- quotes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, where",
    [
        ('a,"chair, sofa\nb c,"shower curtain"\nd,\n', "line 1: .* that only line 2 closes"),
        ('frame,tags\na.jpg,"chair, sofa\nb c.jpg,shower curtain\nd.jpg,"bed, table"\n', "line 2: .* line 4 closes"),
        ('frame,tags,by\na.jpg,chair,"me\nb.jpg,bed,you\nd.jpg,sofa,me"\n', "line 2: .* line 4 closes"),
        ('frame,tags\n"a.jpg,chair\nb.jpg",bed\nd.jpg,\n', "line 2: .* line 3 closes"),
        ('frame,tags\na1,"chair\na2,bed"\na3,\n', "line 2: .* line 3 closes"),
        ('frame;chair;bed\na.jpg;"1;0\nb.jpg;"0";1\n', "line 2: .* line 3 closes"),
    ],
)
def test_a_quote_that_joins_rows_names_its_row(tmp_path, text, where):
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(BadInput, match=where):
        tag_files.read_file(tmp_path / "tags.csv")
    faults = []
    kept = tag_files.read_file(tmp_path / "tags.csv", faults)
    assert len(faults) >= 1 and "closes, which joins these rows" in faults[0]
    assert any(row.frame.startswith("d") or row.frame in ("a3", "b.jpg") for row in kept.rows)


@pytest.mark.parametrize(
    "text, expected",
    [
        ('a,"chair, sofa\nb,bed\n', {"a": ["chair", "sofa"], "b": ["bed"]}),
        ('a,19" chair\nb,bed\nc,21" sofa\n', {"a": ['19" chair'], "b": ["bed"], "c": ['21" sofa']}),
        ('frame, tags, split\na, "chair, sofa", train\nb, bed, val\n', {"a": ["chair", "sofa"], "b": ["bed"]}),
        ('a,"chair\nsofa, bed"\nb,"table"\n', {"a": ["chair", "sofa", "bed"], "b": ["table"]}),
        ('frame,tags,note\na,"bed","two lines\nof text, and ""more"""\nb,chair,\n', {"a": ["bed"], "b": ["chair"]}),
        ('a,"chair ""big"""\nb,bed\n', {"a": ['chair ""big'.replace('""', '"')], "b": ["bed"]}),
    ],
)
def test_quotes_that_join_nothing(tmp_path, text, expected):
    (tmp_path / "tags.csv").write_text(text)
    assert {row.frame: row.names for row in tag_files.read_file(tmp_path / "tags.csv").rows} == expected


@pytest.mark.parametrize("seed", range(20))
def test_tables_that_a_program_writes_are_read_back(tmp_path, seed):
    """Any names and notes, quoted by Python's csv module, with line breaks in the notes."""
    draw = np.random.default_rng(seed)
    words = ["chair", "sofa", "a, b", 'the "big" one', "line\nbreak", "", " x", "7", "a;b"]
    rows = [(f"f{n}.jpg", draw.choice(JUDGED), *draw.choice(words, 2)) for n in range(6)]
    text = io.StringIO()
    csv.writer(text, lineterminator=str(draw.choice(["\n", "\r\n"]))).writerows([("frame", "tags", "x", "y"), *rows])
    (tmp_path / "tags.csv").write_text(text.getvalue(), newline="")
    found = tag_files.read_file(tmp_path / "tags.csv").rows
    assert [(row.frame, *row.names) for row in found] == [row[:2] for row in rows]


# --- tables and files of other programs ------------------------------------------------------------


@pytest.mark.parametrize(
    "name, text",
    [
        ("tags.csv", "image,chair,sofa,shower curtain,bed\na.jpg,3,12,0,0\nb c.jpg,0,0,2,0\nd.jpg,0,0,0,0\n"),  # counts
        ("tags.csv", "image,label1,label2\na.jpg,chair,sofa\nb c.jpg,shower curtain,\nd.jpg,,\n"),
        ("tags.csv", ',frame,tags\n0,a.jpg,"chair, sofa"\n1,b c.jpg,shower curtain\n2,d.jpg,\n'),  # an index of pandas
        ("tags.json", json.dumps({"a.jpg": "chair, sofa", "b c.jpg": "shower curtain", "d.jpg": ""})),
        ("tags.json", json.dumps([{"image": n, "tags": ", ".join(tags)} for n, tags in TAGS.items()])),
    ],
)
def test_tables_of_other_programs(folder, name, text):
    put(folder, {name: text})
    check(folder, JUDGED if "chair,sofa,shower" in text else None)


def test_confidences_of_open_images(folder):
    """A class with confidence 0 was looked for and is absent."""
    rows = "a,machine,chair,0.3\na,verification,chair,1\na,machine,bed,0.1\na,machine,sofa,0.9\n"
    rows += "a,verification,bed,0\na,machine,table,0.2\n"
    put(folder, {"tags.csv": f"ImageID,Source,LabelName,Confidence\n{rows}"})
    photos = PhotoFolder(folder, SPACE, complete=False)
    assert photos.image_tags(0) == ("chair", "sofa")
    assert "bed" not in photos.image_unknown(0) and "table" in photos.image_unknown(0)
    put(folder, {"tags.csv": f"ImageID,Source,LabelName,Confidence\n{rows}b c,x,chair,sure\n"})
    assert any("confidence 'sure'; expected a number from 0" in fault for fault in read_report(folder, SPACE).faults)


def test_numbers_of_coco_may_be_text(folder):
    texts = [{**each, "image_id": str(each["image_id"])} for each in COCO["annotations"]]
    put(folder, {"tags.json": json.dumps({**COCO, "annotations": texts})})
    check(folder, JUDGED)


@pytest.mark.parametrize("name", ["tags.csv", "tags.json", "a.jpg"])
def test_pointers_of_git_lfs_are_named(folder, name):
    put(
        folder,
        {"tags.csv": lists(head="frame,tags\n")} | {name: "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"},
    )
    if name == "tags.json":
        (folder / "tags.csv").unlink()
    with pytest.raises(BadInput, match="a pointer of Git LFS, not the file: run 'git lfs pull'"):
        PhotoFolder(folder, SPACE).rgb(0)
