"""What the tags of the live image would add: rarest classes first, compared with the images before, sent tags count."""

import numpy as np

from wsss_ros.labels import scannet20
from wsss_ros.tag_page.worth import TagWorth

NAMES = scannet20().names


def image(*classes):
    return np.array(classes, np.uint8).repeat(10)[None].repeat(8, axis=0)


def test_nothing_before_the_first_image():
    assert TagWorth(scannet20()).status() is None


def test_the_rarest_class_first_and_absent_tags_do_not_count():
    worth = TagWorth(scannet20())
    worth.see(image(0, 4, 255))
    assert worth.status() == {"classes": [[NAMES[0], 0], [NAMES[4], 0]], "high": False}
    worth.sent([NAMES[0], f"-{NAMES[4]}"])
    assert worth.status()["classes"] == [[NAMES[4], 0], [NAMES[0], 1]]


def test_an_image_with_a_new_class_is_worth_more_than_those_before_until_it_is_tagged():
    worth = TagWorth(scannet20())
    for _ in range(12):
        worth.see(image(0, 1))
    assert worth.status()["high"] is False
    worth.see(image(0, 1, 7))
    assert worth.status()["high"] is True
    for _ in range(12):
        worth.see(image(0, 1, 7))
    assert worth.status()["high"] is False  # now that is usual
    worth.see(image(9, 7))
    assert worth.status()["high"] is False  # three classes add more than two
    worth.sent([NAMES[0], NAMES[1]])
    assert worth.status()["high"] is True  # two of the three are tagged now


def test_an_image_without_classes():
    worth = TagWorth(scannet20())
    for _ in range(20):
        worth.see(image(255))
    assert worth.status() == {"classes": [], "high": False}
