"""What the columns of a table without names are: as an argument says, or as their values show."""

import logging
from collections.abc import Sequence

import numpy as np

from wsss_ros.types import BadInput

# The usual orders by number of columns. "-" is not read, n is a part of a normal, c one of a colour.
_ORDERS = {
    3: ("x y z",),
    4: ("x y z -",),
    6: ("x y z c c c", "x y z n n n"),
    7: ("x y z c c c -", "x y z - c c c", "x y z n n n -"),
    8: ("x y z c c c - -", "x y z - c c c -"),
    9: ("x y z c c c n n n", "x y z n n n c c c"),
    10: ("x y z c c c n n n -", "x y z n n n c c c -"),
}
_COLORS, _NORMALS = ("red", "green", "blue"), ("nx", "ny", "nz")
_log = logging.getLogger("wsss_ros")


def columns_of_table(source: str, table: np.ndarray, order: str = "", usual: str = "") -> dict[str, np.ndarray]:
    """The columns [N] of a table [N, D] by name.

    ``order`` are their names, as ``open_cloud`` takes them. Without it, the order is ``usual`` if it has as many
    columns, else the only one of the usual orders that the values fit. Raises BadInput naming the ``source`` for
    another number of columns than names, and when no order or several fit.
    """
    names = order.replace(",", " ").split() or _found(source, table, usual)
    if len(names) != table.shape[1]:
        raise BadInput(f"{source}: {table.shape[1]} columns, and {len(names)} names '{order}'; {_first_row(table)}")
    named = [name for name in names if name != "-"]
    if len(set(named)) < len(named):
        raise BadInput(f"{source}: a column name occurs twice in '{' '.join(names)}'; name each column once")
    return {name: table[:, at] for at, name in enumerate(names) if name != "-"}


def _found(source: str, table: np.ndarray, usual: str) -> list[str]:
    if usual and len(usual.split()) == table.shape[1]:
        return usual.split()
    fits = [order for order in _ORDERS.get(table.shape[1], ()) if _fits(table, order.split())]
    if len(fits) != 1:
        shown = " and ".join(f"'{order.replace('c c c', 'r g b').replace('n n n', 'nx ny nz')}'" for order in fits)
        why = f"{shown} both fit" if fits else "no usual order fits"
        raise BadInput(
            f"{source}: {table.shape[1]} columns without names, and {why}; "
            f"say what they are, as --columns 'x y z r g b label', with - for a column not to read; {_first_row(table)}"
        )
    names, left = _named(fits[0].split()), table.shape[1]
    left = names.count("-")
    _log.info(
        "%s: columns are taken as '%s'%s", source, " ".join(names), "; --columns names the others" if left else ""
    )
    return names


def _named(order: Sequence[str]) -> list[str]:
    parts = {"c": iter(_COLORS), "n": iter(_NORMALS)}
    return [next(parts[name]) if name in parts else name for name in order]


def _fits(table: np.ndarray, order: Sequence[str]) -> bool:
    rows = table[:: 1 + len(table) // 100_000]
    return all(
        test(rows[:, order.index(letter) : order.index(letter) + 3].astype(np.float64))
        for letter, test in (("c", _are_colors), ("n", _are_normals))
        if letter in order
    )


def _are_colors(values: np.ndarray) -> bool:
    """Whether values are whole numbers of 0..65535, or numbers of 0..1."""
    if not len(values) or not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        return False
    return bool(values.max() <= 1 or (values == np.round(values)).all())


def _are_normals(values: np.ndarray) -> bool:
    """Whether nearly all rows are unit vectors."""
    return bool(len(values) and np.mean(np.abs(np.linalg.norm(values, axis=1) - 1) < 0.02) > 0.95)


def _first_row(table: np.ndarray) -> str:
    return f"the first row is {' '.join(f'{value:g}' for value in table[0])}" if len(table) else "it has no rows"
