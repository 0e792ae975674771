"""Ids of label images: names by id, ids that no name has, images of 8, 16 and 32 bits."""

import numpy as np
import pytest

from wsss_ros.fusion.label_table import classes_of, parse_names, space_of, table_of
from wsss_ros.fusion.semantic_map import NOT_SEEN
from wsss_ros.labels import UNLABELLED, labels_named
from wsss_ros.types import BadInput

COCO = {0: "__void__", 1: "person", 62: "chair", 63: "couch", 300: "floor"}


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_ids_of_another_model_become_the_classes_of_its_names(kind):
    table = table_of(COCO, classes_of(COCO))
    assert table.classes == ("person", "chair", "couch", "floor")
    ids = np.array([[0, 1, 62], [300, 7, 255]]).astype(kind)
    labels = table.labels(ids)
    assert labels.tolist() == [[UNLABELLED, 0, 1], [3, NOT_SEEN, UNLABELLED]]
    assert table.unknown(ids, labels) == [7]


def test_ids_of_8_bits_and_ids_that_no_table_has():
    table = table_of(COCO, classes_of(COCO))
    ids = np.array([[1, 62], [255, 9]], np.uint8)
    assert table.labels(ids).tolist() == [[0, 1], [UNLABELLED, NOT_SEEN]]
    wide = np.array([[-1, -2], [70_000, 65_537]], np.int32)
    assert table.labels(wide).tolist() == [[UNLABELLED, NOT_SEEN], [NOT_SEEN, NOT_SEEN]]
    assert table.unknown(wide, table.labels(wide)) == [-2, 65_537, 70_000]
    assert table.unknown(ids[:1], table.labels(ids[:1])) == []


def test_names_that_the_map_does_not_have_are_unlabelled_and_listed():
    table = table_of({0: "Chair", 1: "robot", 2: "wall"}, ("wall", "chair"))
    assert table.labels(np.array([[0, 1, 2]], np.uint8)).tolist() == [[1, UNLABELLED, 0]]
    assert table.foreign == ("robot",)


def test_an_id_255_that_has_a_name_is_a_class():
    table = table_of({255: "sky", 4: "road"}, ("road", "sky"))
    assert table.labels(np.array([[255, 4]], np.uint8)).tolist() == [[1, 0]]


def test_names_are_parsed():
    assert parse_names("wall, floor,7:car, bus") == {0: "wall", 1: "floor", 7: "car", 8: "bus"}


@pytest.mark.parametrize("text, why", [("wall,,x", "expected NAME"), ("a:b", "expected NAME"), ("x, 0:y", "both")])
def test_names_that_cannot_be_parsed_are_refused(text, why):
    with pytest.raises(BadInput, match=why):
        parse_names(text)


def test_too_many_classes_none_and_wrong_ids_are_refused():
    with pytest.raises(BadInput, match="255 classes"):
        classes_of({key: f"c{key}" for key in range(255)})
    with pytest.raises(BadInput, match="0 classes"):
        classes_of({0: "void"})
    with pytest.raises(BadInput, match="id 65536"):
        table_of({65_536: "x"}, ("x",))


def test_colours_are_those_of_the_known_classes_and_others_differ():
    known = labels_named("scannet20")
    assert space_of(known.names, known) is known
    space = space_of(("robot", "chair", "dog", "sofa"), known)
    assert space.colors[1] == known.colors[known.names.index("chair")]
    assert len(set(space.colors)) == 4
    assert len(set(space_of([f"c{n}" for n in range(60)], known).colors)) == 60
