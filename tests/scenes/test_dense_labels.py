"""Label images of all kinds: what was put in comes out, and doubtful numbers are refused with both readings."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsss_ros.labels import LabelSpace, ids, labels_named, s3dis, scannet20
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.types import BadInput

OWN = LabelSpace("own", ("wall", "couch", "robot"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), (7, 8, 9))
LABELS = np.array([[0, 1, 2], [255, 0, 0]], np.uint8)


def save(folder, name: str, pixels: np.ndarray, mode: str | None = None, palette=None) -> None:
    folder.mkdir(exist_ok=True)
    image = Image.fromarray(pixels)
    image = image if mode is None else image.convert(mode)
    if palette is not None:
        image.putpalette(palette)
    image.save(folder / name)


def read(folder, labels=OWN, label_ids: str = "dataset", name: str = "a") -> np.ndarray:
    return LabelImages(folder, labels, label_ids).read(name)


def of(table: dict[int, int], dtype=np.uint8) -> np.ndarray:
    """The numbers of ``LABELS`` in a file."""
    return np.vectorize(table.__getitem__)(LABELS).astype(dtype)


@pytest.mark.parametrize(
    ("label_ids", "table"),
    [
        ("dataset", {0: 7, 1: 8, 2: 9, 255: 0}),
        ("dataset", {0: 7, 1: 8, 2: 9, 255: 255}),
        ("index", {0: 0, 1: 1, 2: 2, 255: 255}),
        ("index1", {0: 1, 1: 2, 2: 3, 255: 0}),
        ("auto", {0: 7, 1: 8, 2: 9, 255: 0}),
        ("auto", {0: 1, 1: 2, 2: 3, 255: 255}),
        ("auto", {0: 0, 1: 1, 2: 2, 255: 255}),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_numbers(tmp_path, label_ids, table, dtype):
    save(tmp_path / "label", "a.tif" if dtype == np.int32 else "a.png", of(table, dtype))
    if label_ids == "auto" and table[0] in (0, 1):
        with pytest.raises(BadInput, match="fit several readings: 'index1?' .*wall.*; 'nyu40' .*wall"):
            read(tmp_path / "label", OWN, label_ids)
        return
    np.testing.assert_array_equal(read(tmp_path / "label", OWN, label_ids), LABELS)
    np.save(tmp_path / "label" / "b.npy", of(table, np.float32))
    np.testing.assert_array_equal(read(tmp_path / "label", OWN, label_ids, "b"), LABELS)
    assert read(tmp_path / "label", OWN, label_ids, "missing") is None


def test_minus_one_and_65535_are_unlabelled(tmp_path):
    (tmp_path / "label").mkdir()
    np.save(tmp_path / "label/a.npy", of({0: 7, 1: 8, 2: 9, 255: -1}, np.int16))
    save(tmp_path / "label", "b.png", of({0: 7, 1: 8, 2: 9, 255: 65535}, np.uint16))
    np.testing.assert_array_equal(read(tmp_path / "label"), LABELS)
    np.testing.assert_array_equal(read(tmp_path / "label", name="b"), LABELS)


def test_nyu40_for_another_label_space(tmp_path):
    save(tmp_path / "label", "a.png", np.array([[1, 6, 31], [0, 40, 255]], np.uint8))
    labels = LabelSpace("own", ("couch", "wall"), ((255, 0, 0), (0, 255, 0)), (1, 2), (), (("sofa", "couch"),))
    assert read(tmp_path / "label", labels, "nyu40").tolist() == [[1, 0, 255], [255, 255, 255]]
    with pytest.raises(BadInput, match="no class of 'own' is one of nyu40"):
        read(tmp_path / "label", LabelSpace("own", ("pallet",), ((255, 0, 0),), (1,)), "nyu40")


def test_auto_refuses_two_readings_and_shows_both(tmp_path):
    save(tmp_path / "label", "a.png", np.array([[1, 1, 1, 2]], np.uint8))
    with pytest.raises(BadInput) as error:
        read(tmp_path / "label", s3dis(), "auto")
    text = str(error.value)
    assert "the label numbers 1, 2 fit several readings" in text
    assert "'dataset' (ids of the label file): ceiling 75%, floor 25%" in text
    assert "'index' (positions of the classes from 0): floor 75%, wall 25%" in text
    assert "--label-ids dataset, index, nyu40" in text
    save(tmp_path / "label", "a.png", np.array([[200, 201]], np.uint8))
    with pytest.raises(BadInput, match="200, 201 fit no reading of 's3dis'"):
        read(tmp_path / "label", s3dis(), "auto")


def test_one_reading_is_found_from_all_images(tmp_path):
    for number in range(3):
        save(tmp_path / "label", f"{number}.png", np.full((2, 2), 7 + number, np.uint8))
    images = LabelImages(tmp_path / "label", OWN, "auto")
    assert [images.read(str(number)).max() for number in range(3)] == [0, 1, 2]
    images.check()
    LabelImages(tmp_path / "none", OWN).check()


def test_numbers_that_fit_another_reading_are_refused(tmp_path):
    """Positions from 0 where ids of the data set are expected: the error names both."""
    save(tmp_path / "label", "a.png", np.array([[0, 1, 2]], np.uint8))
    with pytest.raises(BadInput) as error:
        read(tmp_path / "label")
    assert "has the numbers 1 (33.3%), 2 (33.3%), which are not ids of the label file of 'own'" in str(error.value)
    assert "'index' (positions of the classes from 0): wall 33%, couch 33%, robot 33%" in str(error.value)


def test_strange_numbers_are_reported(tmp_path, caplog):
    save(tmp_path / "label", "a.png", np.array([[7, 8, 99]], np.uint8))
    assert read(tmp_path / "label").tolist() == [[0, 1, 255]]
    assert "the numbers 99 (33.3%) are not ids of the label file of 'own'; they count as unlabelled" in caplog.text


def test_other_classes_of_nyu40_are_not_strange(tmp_path, caplog):
    save(tmp_path / "label", "a.png", np.array([[0, 1, 13, 15, 39, 40]], np.uint8))
    assert read(tmp_path / "label", scannet20()).tolist() == [[255, 0, 255, 255, 19, 255]]
    assert not caplog.text


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_the_classes(tmp_path, mode, caplog):
    rgb = OWN.colorize(LABELS)
    save(tmp_path / "label", "a.png", rgb, mode)
    np.testing.assert_array_equal(read(tmp_path / "label"), LABELS)
    assert not caplog.text
    rgb[0, 0] = 1, 2, 3
    save(tmp_path / "label", "a.png", rgb)
    assert read(tmp_path / "label")[0, 0] == 255
    assert "20.0% of the labelled pixels have no colour of a class of 'own', as [1, 2, 3]" in caplog.text
    save(tmp_path / "label", "a.png", rgb // 2)
    with pytest.raises(BadInput, match="expected PNG, not JPEG, in the colours of the label file"):
        read(tmp_path / "label")


def test_colours_that_two_classes_share_are_refused(tmp_path):
    save(tmp_path / "label", "a.png", OWN.colorize(LABELS))
    shared = LabelSpace("shared", ("a", "b"), ((1, 2, 3), (1, 2, 3)), (1, 2))
    with pytest.raises(BadInput, match="classes of 'shared' share one"):
        read(tmp_path / "label", shared)


def test_a_palette_is_its_indices(tmp_path):
    """As PASCAL VOC: the palette is only for people."""
    save(tmp_path / "label", "a.png", of({0: 7, 1: 8, 2: 9, 255: 255}), "P", list(range(200)) * 3 + [0] * 168)
    np.testing.assert_array_equal(read(tmp_path / "label"), LABELS)


def test_a_palette_of_the_classes_colours(tmp_path):
    """Programs that compress a coloured label image number its colours as they like."""
    colors = [OWN.colors[1], (0, 0, 0), OWN.colors[2], OWN.colors[0]]
    place = {0: 3, 1: 0, 2: 2, 255: 1}
    palette = [value for color in colors for value in color]
    save(tmp_path / "label", "a.png", of(place), "P", palette)
    with pytest.raises(BadInput):
        read(tmp_path / "label")
    np.testing.assert_array_equal(read(tmp_path / "label", label_ids="color"), LABELS)
    labels = LabelSpace("own", OWN.names, OWN.colors, (1, 2, 3))
    with pytest.raises(BadInput, match="its palette has the colours of the classes: couch 17%.*--label-ids color"):
        read(tmp_path / "label", labels)


def test_a_palette_that_agrees_with_its_indices(tmp_path):
    palette = [value for color in [(9, 9, 9)] * 7 + list(OWN.colors) for value in color]
    save(tmp_path / "label", "a.png", of({0: 7, 1: 8, 2: 9, 255: 7}), "P", palette)
    assert read(tmp_path / "label").tolist() == [[0, 1, 2], [0, 0, 0]]


def test_broken_label_images(tmp_path):
    folder = tmp_path / "label"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"not an image")
    with pytest.raises(BadInput, match="a.png: cannot be decoded"):
        read(folder)
    np.save(folder / "b.npy", np.array([[0.5]]))
    with pytest.raises(BadInput, match="b.npy: float64 of shape"):
        read(folder, name="b")
    (folder / "b.png").write_bytes(b"")
    with pytest.raises(BadInput, match="another label image is b.npy"):
        read(folder)


@given(
    st.dictionaries(st.integers(-1, 70000), st.integers(1, 99), min_size=1, max_size=8), st.sampled_from(ids.READINGS)
)
def test_a_reading_is_its_table(counts, name):
    """The array that looks labels up is equal to the table, for any numbers."""
    for labels in (scannet20(), s3dis()):
        reading = ids.IdReading.named(name, labels)
        found = reading(np.array(list(counts), np.int64))
        assert found.tolist() == [reading.table.get(value, 255) for value in counts]
        assert set(reading.strange(counts)) <= set(counts) - set(reading.table)


@given(st.sampled_from(["scannet20", "s3dis", "nyu40"]), st.sampled_from(["dataset", "index", "index1"]), st.data())
def test_a_reading_returns_what_was_written(space, name, data):
    labels = labels_named(space)
    written = np.array(data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1)), np.uint8)
    numbers = {"dataset": labels.to_ids(written), "index": written, "index1": written + 1}[name]
    np.testing.assert_array_equal(ids.IdReading.named(name, labels)(numbers), written)


def test_unknown_names_of_readings(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(BadInput, match="label_ids 'nyu'; expected auto or one of dataset, index"):
        ids.choose("a", {1: 1}, OWN, "nyu")
