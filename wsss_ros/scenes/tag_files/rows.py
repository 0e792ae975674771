"""The rows that tag files of all kinds are read to."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from wsss_ros.labels import ABSENT, NOT_JUDGED, LabelSpace, key_of
from wsss_ros.types import BadInput, few_of

SCENE = "scene"  # frame of the row for the whole scene
_SIGNS = (ABSENT, NOT_JUDGED)
# Also the commas and quotes of Chinese and of word processors, and marks that are not seen.
_BETWEEN = re.compile("[,;|\n\uff0c\u3001\uff1b\u060c]")
_AROUND = " \t\r\n\xa0\u3000\u200b\u200e\u200f\ufeff\"'`\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
_MISSPELT = 0.85  # similarity from which a name is a class with a spelling mistake


class Row(NamedTuple):
    """The list of one frame or of the scene, and its place in the file. Unknown classes have a ``?`` in front."""

    where: str
    frame: str
    names: list[str]
    split: str = ""


class Content(NamedTuple):
    """The rows of a file, and what it says about classes that are not listed (None: nothing).

    ``kind`` is the format. ``vocabulary`` are all names that the file can give, in files that list them: other classes
    are not judged by it. None: any class.
    """

    rows: list[Row]
    complete: bool | None = None
    kind: str = ""
    vocabulary: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def split_names(text: str) -> list[str]:
    """The names in one cell: between commas, semicolons, bars or lines, also as a list with brackets and quotes."""
    parts = _BETWEEN.split(text.strip(_AROUND).strip("[](){}"))
    return [name for part in parts if (name := part.strip(_AROUND))]


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each frame, with the names of all its rows; a name that repeats counts once."""
    found: dict[str, Row] = {}
    for row in rows:
        first = found.setdefault(row.frame, row._replace(names=[]))
        first.names.extend(name for name in row.names if name not in first.names)
    return list(found.values())


def fitted(source: str, content: Content, labels: LabelSpace) -> Content:
    """The content in a label space: names of the vocabulary that are not classes are left out, with a note.

    Classes outside the vocabulary become unknown in each row. Content without a vocabulary stays as it is. Raises
    BadInput naming the ``source`` for a name of the vocabulary that is a misspelt class.
    """
    if content.vocabulary is None:
        return content
    strange = [
        name for name in content.vocabulary if name not in labels and key_of(name) not in map(key_of, labels.ignored)
    ]
    for name in strange:
        near = difflib.get_close_matches(key_of(name), map(key_of, labels.names), n=1, cutoff=_MISSPELT)
        if near:
            raise BadInput(
                f"{source}: '{name}' is not a class of '{labels.name}'; the nearest is '{near[0]}': rename it, or add "
                f"'{name}: {near[0]}' to the synonyms of the label file"
            )
    judged = {labels.index(name) for name in content.vocabulary if name in labels}
    if not judged and content.vocabulary:
        names = few_of(content.vocabulary, 8)
        raise BadInput(f"{source}: none of its classes ({names}) is one of '{labels.name}'; give --labels, or synonyms")
    others = [NOT_JUDGED + name for index, name in enumerate(labels.names) if index not in judged]
    dropped: Counter[str] = Counter()
    left = set(map(key_of, strange))
    rows = []
    for row in content.rows:
        plain = {name: key_of(name[1:] if name[:1] in _SIGNS else name) for name in row.names}
        dropped.update(plain[name] for name in row.names if plain[name] in left)
        rows.append(row._replace(names=[name for name in row.names if plain[name] not in left] + others))
    notes = []
    if strange:
        shown = few_of((f"{name} ({dropped[key_of(name)]})" for name in strange), 8)
        notes.append(f"names that are not classes of '{labels.name}', left out: {shown}")
    if others:
        notes.append(f"classes that the file does not judge: {', '.join(name[1:] for name in others)}")
    return content._replace(rows=rows, vocabulary=None, notes=(*content.notes, *notes))
