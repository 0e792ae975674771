from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_ros import labels as module
from wsss_ros.labels import UNLABELLED, LabelSpace, TagList, s3dis, scannet20
from wsss_ros.types import BadInput

SPACE = scannet20()


def test_ignored_names_are_skipped_in_lists_of_tags(labels):
    space = replace(labels, ignored=("pinball",))
    assert space.tag_list(["wall", "-pinball", "pinball", "?sofa"]) == TagList(("wall",), (), ("sofa",))
    assert space == labels
    with pytest.raises(BadInput, match="'pinball' is not a class"):
        labels.tag_list(["pinball"])
    with pytest.raises(BadInput, match="'Wall' is a class of 'scannet20'; only names that are not classes"):
        replace(labels, ignored=("Wall",))


def test_scannet20_is_the_benchmark():
    assert len(SPACE) == 20 and SPACE.names[0] == "wall" and SPACE.names[-1] == "otherfurniture"
    assert SPACE.ids == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
    assert SPACE.colors[SPACE.index("shower curtain")] == (158, 218, 229)


@given(st.sets(st.sampled_from(SPACE.names)))
def test_tags_and_multi_hot_are_the_same_thing(tags):
    assert set(SPACE.tags(SPACE.multi_hot(tags))) == tags


def test_tags_may_be_written_carelessly():
    assert SPACE.index(" Shower Curtain ") == SPACE.names.index("shower curtain")


def test_an_unknown_tag_names_the_nearest():
    with pytest.raises(BadInput, match="'refridgerator' is not a class.*the nearest is 'refrigerator'"):
        SPACE.multi_hot(["refridgerator"])


@given(st.lists(st.integers(0, 60), max_size=50))
def test_ids_round_trip(ids):
    labels = SPACE.from_ids(np.array(ids, np.int64))
    back = SPACE.to_ids(labels)
    for before, label, after in zip(ids, labels, back, strict=True):
        assert (after == before and label < 20) if before in SPACE.ids else (label == UNLABELLED and after == 0)


def test_colours():
    colors = SPACE.colorize(np.array([[0, 19], [UNLABELLED, 20]], np.uint8))
    assert colors.tolist() == [[[174, 199, 232], [82, 84, 163]], [[0, 0, 0], [0, 0, 0]]]


def test_present_classes():
    labels = np.array([0, 0, 0, 2, 255, 255], np.uint8)
    assert SPACE.present(labels) == ("wall", "cabinet")
    assert SPACE.present(labels, at_least=2) == ("wall",)


def test_round_trip_through_a_dictionary():
    assert LabelSpace.from_dict(SPACE.to_dict()) == SPACE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((("a", "b"), ((0, 0, 0),), (1, 2)), "2 names, 1 colours and 2 ids"),
        ((("a", "a"), ((0, 0, 0),) * 2, (1, 2)), "name occurs twice"),
        ((("a", "b"), ((0, 0, 0),) * 2, (1, 1)), "id occurs twice"),
        (((), (), ()), "0 classes"),
    ],
)
def test_broken_label_spaces_are_refused(arguments, words):
    with pytest.raises(BadInput, match=words):
        LabelSpace("x", *arguments)


def test_the_classes_that_s3dis_and_scannet_share():
    shared = s3dis().shared(SPACE)
    assert [name for _, _, name in shared] == ["floor", "wall", "window", "door", "table", "chair", "sofa", "bookcase"]
    assert all(s3dis().names[here] == name for here, _, name in shared)
    assert [SPACE.names[there] for _, there, _ in shared][-1] == "bookshelf"
    assert {(there, here) for here, there, _ in shared} == {pair[:2] for pair in SPACE.shared(s3dis())}


def test_labels_of_one_space_in_another():
    table = s3dis().table_to(SPACE)
    names = ("floor", "bookcase", "clutter", "ceiling")
    there = table[np.array([*map(s3dis().index, names), UNLABELLED], np.uint8)]
    assert there.tolist() == [SPACE.index("floor"), SPACE.index("bookshelf"), UNLABELLED, UNLABELLED, UNLABELLED]
    assert (SPACE.table_to(SPACE)[:20] == np.arange(20)).all() and (SPACE.table_to(SPACE)[20:] == UNLABELLED).all()


def test_files(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text(
        "name: two\nclasses:\n  - {name: cup, id: 1, color: [1, 2, 3]}\n  - {name: pan, id: 5, color: [4, 5, 6]}\n"
    )
    assert module.labels_named(path).names == ("cup", "pan")
    path.write_text("classes: [[1]]\n")
    with pytest.raises(BadInput, match="not a label file"):
        module.labels_named(path)
    with pytest.raises(BadInput, match="not installed"):
        module.labels_named("config/labels/nothing.yaml")


def test_a_list_of_tags_has_present_absent_and_unknown_classes():
    tags = SPACE.tag_list(["-Sofa", " bed", "? desk", "wall", "bed"])
    assert (tags.present, tags.absent, tags.unknown) == (("wall", "bed"), ("sofa",), ("desk",))
    assert tags.written == ["wall", "bed", "-sofa", "?desk"] and SPACE.tag_list(tags.written) == tags
    assert SPACE.unknown(tags) == ("desk",)
    assert set(SPACE.unknown(tags, complete=False)) == set(SPACE.names) - {"wall", "bed", "sofa"}
    with pytest.raises(BadInput, match="'bed' is both present and unknown; expected one of them"):
        SPACE.tag_list(["bed", "?bed"])
    with pytest.raises(BadInput, match="'soffa' is not a class .*nearest is 'sofa'"):
        SPACE.tag_list(["-soffa"])
