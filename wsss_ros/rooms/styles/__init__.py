"""Styles of rooms as tables: colours, the colours of each class, proportions, shapes, sizes of rooms.

To add a style, add a file of tables here and a row in ``STYLES``; other palettes or proportions need no code.
"""

from wsss_ros.rooms.styles.default import DEFAULT
from wsss_ros.rooms.styles.other import OTHER
from wsss_ros.rooms.styles.plain import PLAIN
from wsss_ros.rooms.styles.tables import Style
from wsss_ros.types import BadInput

STYLES = {"default": DEFAULT, "other": OTHER, "plain": PLAIN}


def style_named(name: str) -> Style:
    """The style of a name. Raises BadInput when there is no such style."""
    if name not in STYLES:
        raise BadInput(f"no style '{name}' for rooms; there are: {', '.join(STYLES)}")
    return STYLES[name]
