"""How rooms may look, as tables: colours, which of them a class may take, proportions, shapes, sizes of rooms.

A further style is a further file of tables and a row in ``STYLES``; other palettes or proportions need no code.
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
