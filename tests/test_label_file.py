"""Label files as people write them."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros.cli.labels_new import labels_new
from wsss_ros.cli.labels_show import labels_show
from wsss_ros.labels import LabelSpace, key_of, labels_named, read_label_file, s3dis, scannet20
from wsss_ros.labels import label_file as module
from wsss_ros.labels.colors import clashes, palette, read_colors
from wsss_ros.types import BadInput


@pytest.fixture(autouse=True)
def _nothing_said_before():
    module._say.cache_clear()


def read(tmp_path, text: str | bytes, name: str = "labels.yaml") -> LabelSpace:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_file(path)


# --- names ---


@pytest.mark.parametrize(
    "name", ["Shower Curtain", "shower_curtain", "SHOWER-CURTAIN", " shower  curtain ", "shower _curtain"]
)
def test_one_name_in_many_spellings(name):
    assert scannet20().index(name) == scannet20().names.index("shower curtain")
    assert name in scannet20() and scannet20().tag_list([f"-{name}"]).absent == ("shower curtain",)


@given(st.text(min_size=1, max_size=20))
def test_a_key_is_the_key_of_itself(name):
    assert key_of(key_of(name)) == key_of(name) == key_of(f" {name}_")


def test_synonyms_are_the_class():
    labels = scannet20()
    assert labels.tag_list(["couch", "?Fridge"]).written == ["sofa", "?refrigerator"]
    assert LabelSpace.from_dict(labels.to_dict()).index("COUCH") == labels.index("sofa")
    with pytest.raises(BadInput, match=r"'cuoch' is not a class .*nearest is 'sofa' \(as 'couch'\)"):
        labels.index("cuoch")
    with pytest.raises(BadInput, match="'sofa' is both present and absent"):
        labels.tag_list(["couch", "-sofa"])


def test_classes_that_coincide_are_refused(tmp_path):
    with pytest.raises(BadInput, match="labels.yaml.*'Fork-Lift' and 'fork_lift' are one name"):
        read(tmp_path, "classes: [Fork-Lift, fork_lift]")
    with pytest.raises(BadInput, match="synonym 'lorry' means 'truck', which is not a class"):
        read(tmp_path, "classes: [car]\nsynonyms: {lorry: truck}")
    with pytest.raises(BadInput, match="synonym 'Car' means 'bus' and 'car'"):
        read(tmp_path, "classes: [car, bus]\nsynonyms: {Car: bus}")
    with pytest.raises(BadInput, match="a class name is False in YAML; put it between quotes"):
        read(tmp_path, "classes: [off]")


def test_spaces_are_equal_if_only_spelling_differs(tmp_path):
    one, two = (read(tmp_path, f"name: x\nclasses: [{name}, wall]") for name in ("Fork_Lift", "fork lift"))
    assert one == two and hash(one) == hash(two) and one.names[0] == "Fork_Lift"
    assert one != read(tmp_path, "name: x\nclasses: [forklift, wall]")
    assert [name for _, _, name in one.shared(two)] == ["Fork_Lift", "wall"]
    assert s3dis().shared(scannet20())[-1][2] == "bookcase"


# --- the file ---


def test_names_alone_get_ids_from_1_and_colours_of_a_palette(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    space = read(tmp_path, "classes:\n  - pallet\n  - {name: floor, color: '#102030'}\n", "depot.yaml")
    assert (space.name, space.names, space.ids) == ("depot", ("pallet", "floor"), (1, 2))
    assert space.colors[1] == (16, 32, 48) and not clashes(space.names, space.colors)
    assert "no color for pallet; colours of a palette are taken" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_and_windows_line_ends(tmp_path, encoding):
    space = read(tmp_path, "name: büro\r\nclasses:\r\n- {name: tür, id: 3, colour: Red}\r\n".encode(encoding))
    assert (space.name, space.names, space.ids, space.colors) == ("büro", ("tür",), (3,), ((255, 0, 0),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "a",
        "classes: 3",
        "classes: [[1]]",
        "classes: [{id: 1}]",
        "classes: [a]\nsynonyms: [b]",
        "\0",
        "- " * 5000,
    ],
)
def test_what_is_not_a_label_file_is_refused(tmp_path, text):
    with pytest.raises(BadInput, match="labels.yaml"):
        read(tmp_path, text)


@pytest.mark.parametrize("ids", ["1, -1", "1, 1", "1, 2.5", "1, true", "1, null"])
def test_ids_that_are_refused(tmp_path, ids):
    first, second = ids.split(", ")
    with pytest.raises(BadInput, match="labels.yaml.*id"):
        read(tmp_path, f"classes: [{{name: a, id: {first}}}, {{name: b, id: {second}}}]")


def test_shipped_files_are_distinguishable(caplog):
    for name in ("scannet20", "s3dis", "nyu40"):
        assert len(labels_named(name)) in (20, 13, 40)
    assert not caplog.text
    assert {(n, i) for n, i in zip(scannet20().names, scannet20().ids, strict=True)} < {
        (n, i) for n, i in zip(labels_named("nyu40").names, labels_named("nyu40").ids, strict=True)
    }


# --- colours ---


@pytest.mark.parametrize(
    "value",
    [
        [255, 128, 0],
        [255, 128, 0, 9],
        [255.0, 128.0, 0.0],
        {"r": 255, "g": 128, "b": 0},
        "#ff8000",
        "FF8000",
        "0xff8000",
    ]
    + ["#FF8000aa", "255, 128, 0", "[255 128 0]", "rgb(255, 128, 0)", "(255;128;0)"],
)
def test_notations_of_one_colour(value):
    assert read_colors([value]) == [(255, 128, 0)]


def test_numbers_of_0_to_1_are_told_by_the_whole_file():
    assert read_colors([[1.0, 0, 0], "0.2 0.4 0.6", "Dark Orange", None]) == [
        (255, 0, 0),
        (51, 102, 153),
        (255, 140, 0),
        None,
    ]
    assert read_colors([[1, 0, 0], [200, 0, 0]]) == [(1, 0, 0), (200, 0, 0)]


@pytest.mark.parametrize(
    "value", [[0.5, 2, 3], [1, 2], [300, 0, 0], [-1, 0, 0], True, 7, "orangge", "#12345", [None] * 3, ""]
)
def test_colours_that_are_refused(value):
    with pytest.raises(BadInput, match="colour .*expected|colour .*numbers"):
        read_colors([value, [10, 20, 30]])


@given(st.integers(1, 60), st.lists(st.tuples(*[st.integers(40, 255)] * 3), max_size=4))
def test_a_palette_is_distinguishable(count, taken):
    colors = palette(count, taken)
    assert len(set(colors)) == count and palette(count, taken) == colors
    assert not [text for text in clashes([str(i) for i in range(count)], colors)]
    assert not set(colors) & set(taken)


def test_clashes_are_named(tmp_path, caplog):
    space = read(tmp_path, "classes: [{name: a, color: red}, {name: b, color: [255, 0, 0]}, {name: c, color: black}]")
    assert space.colors[:2] == ((255, 0, 0), (255, 0, 0))
    assert "'a' and 'b' both have [255, 0, 0]" in caplog.text and "'c' [0, 0, 0] is black" in caplog.text
    assert clashes(["a", "b"], [(200, 200, 200), (201, 200, 200)]) == [
        "'a' [200, 200, 200] and 'b' [201, 200, 200] look alike"
    ]


# --- ids ---


@given(st.lists(st.integers(-(2**40), 2**40), max_size=30))
def test_ids_of_any_size_are_read(ids):
    labels = scannet20().from_ids(np.array(ids, np.int64))
    assert labels.tolist() == [scannet20().ids.index(value) if value in scannet20().ids else 255 for value in ids]


@given(
    st.lists(
        st.sampled_from(["off", "1", "a: b", "#x", "tür", "- c", '"q"', "null", "fork lift"]), min_size=1, unique=True
    )
)
def test_a_written_label_file_reads_back(tmp_path_factory, names):
    count = len(names)
    space = LabelSpace(
        "my: name", tuple(names), tuple(palette(count)), tuple(range(3, 3 + count)), (), (("other", names[0]),)
    )
    back = read(tmp_path_factory.mktemp("labels"), module.as_yaml(space))
    assert back == space and back.names == space.names and back.synonyms == space.synonyms


@pytest.mark.parametrize("count", [3, 60])
def test_the_commands_write_and_show_own_classes(tmp_path, count, capsys):
    path = tmp_path / "warehouse.yaml"
    names = ["pallet", "Fork_Lift", "wall", *(f"thing {number}" for number in range(57))][:count]
    labels_new(path, names)
    space = labels_named(path)
    assert space.names == tuple(names) and space.ids == tuple(range(1, count + 1)) and space.name == "warehouse"
    assert not clashes(space.names, space.colors)
    labels_show(str(path), tmp_path / "out.png")
    assert "Fork_Lift" in capsys.readouterr().out and (tmp_path / "out.png").is_file()
    with pytest.raises(BadInput, match="exists already"):
        labels_new(path, names)
    with pytest.raises(BadInput, match="'a b' and 'A-b' are one name"):
        labels_new(tmp_path / "other.yaml", ["a b", "A-b"])
