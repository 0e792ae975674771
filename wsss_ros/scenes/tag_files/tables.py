"""Tables of tags: comma, semicolon or tab; lists in a cell, one row a tag, or one column a class."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from wsss_ros.files import decode, is_unicode
from wsss_ros.labels import ABSENT, NOT_JUDGED
from wsss_ros.scenes.images import read_bytes
from wsss_ros.scenes.tag_files.rows import Content, Row, merged, split_names
from wsss_ros.types import BadInput

_COLUMNS = {"tags", "unknown", "split"}  # next to "frame"
# Other names of these columns, in files of other programs; a column of ONE holds a single tag.
FRAMES = {"frame", "image", "images", "file", "filename", "file_name", "image_name", "image_id", "imageid", "img"}
FRAMES |= {"path", "image_path", "filepath", "photo", "picture"}
LISTS = {"tags", "labels", "classes", "objects", "categories"}
ONE = {"tag", "label", "class", "category", "object", "class_name", "classname", "labelname", "label_name"}
# With the words that Excel and other programs write in German, French, Spanish, Italian, Portuguese and Chinese.
_PRESENT = {"1", "1.0", "true", "yes", "y", "x", "t", "present", "wahr", "ja", "vrai", "oui", "verdadero", "si"}
_PRESENT |= {"s\u00ed", "vero", "verdadeiro", "sim", "\u771f", "\u662f", "\u2713", "\u2714"}
_ABSENT = {"0", "0.0", "false", "no", "n", "f", "absent", "falsch", "nein", "faux", "non", "falso", "n\u00e3o"}
_ABSENT |= {"\u5047", "\u5426"}
_UNKNOWN = {"?", "unknown", "nan", "na", "n/a"}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx and ods, xls
_STATED = re.compile(r'"?sep=([;,\t])"?', re.IGNORECASE)
_NUMBERED = re.compile(r"(tag|label|class|object)s?[ _-]?\d+")
_MOST_LINES = 50  # of a row
_SEPARATOR = re.compile(r'"[^"]*"|([\t;,])')


def read_csv(path: Path, faults: list[str] | None = None) -> Content:
    """The rows of a table. Raises BadInput for a line that is not a row; with ``faults`` it is added there.

    The first of tab, semicolon and comma in the first line separates the values (a tab anywhere in it wins). A heading
    may name the columns, in any order. Without one, a row is a frame and its tags; if each row has one tag and frames
    repeat, the rows of a frame are merged.
    """

    def each(read: Callable[..., Any], given: Iterable[tuple]) -> list:
        found = []
        for arguments in given:
            try:
                found.append(read(path, *arguments))
            except BadInput as error:
                if faults is None:
                    raise
                faults.append(str(error))
        return found

    data = read_bytes(path, "rows 'frame,tags'")
    if data.startswith(_WORKBOOKS):
        raise BadInput(f"{path}: a workbook, not text; save its sheet as CSV UTF-8")
    separator, records = _records(decode(data))
    rows = [(where, row) for where, row in each(_cells, ((record, separator) for record in records)) if any(row)]
    found = _of_rows(path, rows, separator, each)
    doubt = () if is_unicode(data) else ("not UTF-8, read as Windows-1252: save it as UTF-8 if names look wrong",)
    return found._replace(kind=f"table with {_NAMES[separator]}, {found.kind}", notes=(*doubt, *found.notes))


def _of_rows(path: Path, rows: list[tuple[str, list[str]]], separator: str, each: Callable[..., list]) -> Content:
    first = [name.lower() for name in rows[0][1]] if rows else []
    known = _known(first)
    if _is_matrix(known, [row for _, row in rows[1:]]):
        return _matrix(f"{path}, {rows[0][0]}", rows[0][1], known, rows[1:], each, path)._replace(
            kind="a column a class"
        )
    is_heading = first[:1] == ["frame"] or _names_columns(first) or _numbers_columns(first)
    if is_heading and first != ["frame", "tags"] and ({*known} & _COLUMNS or "tag" in known):
        columns = _columns(f"{path}, {rows[0][0]}", known)
        found = each(partial(_row_of_columns, columns), rows[1:])
        single = "tag" in columns
    else:
        found = each(partial(_plain_row, separator), rows[is_heading:])
        repeat = len({row.frame for row in found}) < len(found)
        single = not is_heading and repeat and all(len(row.names) == 1 for row in found)
    if single:
        found = [row._replace(names=_surest(row.names)) for row in merged(found)]
    return Content(found, kind="a row a tag" if single else "lists")


class _Record(NamedTuple):
    """A row of a table: the number of its first line, its text, and the line that closes a stray quote, 0 for none."""

    number: int
    text: str
    closed_in: int = 0


def _records(text: str) -> tuple[str, list[_Record]]:
    """The separator, and the rows: a cell in quotes may have several lines.

    Comments before the first row, and the line ``sep=;`` that Excel takes as a separator, are not rows.
    """
    lines = list(enumerate(text.split("\n"), start=1))
    while lines and (not lines[0][1].strip() or lines[0][1].startswith("#")):
        lines.pop(0)
    stated = _STATED.fullmatch(lines[0][1].strip()) if lines else None
    separator = stated[1] if stated else _separator(lines[0][1] if lines else "")
    records, at = list[_Record](), 1 if stated else 0
    while at < len(lines):
        number, line = lines[at]
        count, closed_in = _lines_of([line for _, line in lines[at : at + _MOST_LINES]], separator)
        text = "\n".join(line for _, line in lines[at : at + count])
        records.append(_Record(number, text, number + closed_in - 1 if closed_in else 0))
        at += count
    return separator, records


def _lines_of(lines: list[str], separator: str) -> tuple[int, int]:
    """The number of lines that the first row of these lines has, and the line that closes its stray quote, 0 for none.

    A quote is stray where something else than a separator follows the closing one in another line, or where the lines
    between look like rows; the row is then its first line. A quote that is never closed ends with its line.
    """
    if '"' not in lines[0]:
        return 1, 0
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        cells = next(reader, [])
    except csv.Error as error:
        return 1, 0 if reader.line_num == 1 or "end of data" in str(error) else reader.line_num
    return (1, reader.line_num) if _has_rows(cells, separator) else (reader.line_num, 0)


def _has_rows(cells: Sequence[str], separator: str) -> bool:
    """Whether the frame has a line break, or a cell has a line that looks like the row of another frame."""
    inner = [line.split(separator) for cell in cells for line in cell.split("\n")[1:]]
    if not inner:
        return False
    shape = _shape(cells[0])
    is_name = "0" in shape or "." in shape  # a word may be a class
    return "\n" in cells[0].strip() or any(len(line) > 1 and is_name and _shape(line[0]) == shape for line in inner)


def _shape(frame: str) -> str:
    """The name of a frame with one 0 for each number and one a for each word."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", frame.strip().strip('"')))


_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


def _separator(line: str) -> str:
    if "\t" in line:
        return "\t"
    return next((match[1] for match in _SEPARATOR.finditer(line) if match[1]), ",")


def has_columns(path: Path) -> bool:
    """Whether a file is a table whose first line names the columns of frames and of tags."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        separator, records = _records(decode(file.read(4096)))
    line = records[0].text if records else ""
    return _names_columns([name.strip().strip('"').lower() for name in line.split(separator)])


def _known(cells: Sequence[str]) -> list[str]:
    """The cells of a heading by our names of columns: frame, tags, tag; others stay."""
    named = [cell.replace(" ", "_") for cell in cells]
    if "frame" not in named:
        named = _renamed(named, FRAMES, "frame")
    if "frame" in named and "tags" not in named:
        named = _renamed(named, LISTS, "tags") if LISTS & {*named} else _renamed(named, ONE, "tag")
    return named


def _renamed(names: list[str], others: set[str], ours: str) -> list[str]:
    """The names, where the first one of ``others`` is ``ours``."""
    place = next((at for at, name in enumerate(names) if name in others), None)
    return [ours if at == place else name for at, name in enumerate(names)]


def _names_columns(cells: list[str]) -> bool:
    known = {*_known(cells)}
    return {"frame", "tags"} <= known or {"frame", "tag"} <= known


def _numbers_columns(cells: list[str]) -> bool:
    """Whether a heading has the frames first, then columns label1, label2, ..."""
    return cells[:1] != [] and cells[0] in FRAMES and len(cells) > 1 and all(map(_NUMBERED.fullmatch, cells[1:]))


def _cells(path: Path, record: _Record, separator: str) -> tuple[str, list[str]]:
    """The place of a row, and its values."""
    number, line, closed_in = record
    if closed_in:
        raise BadInput(
            f"{path}, line {number}: '{line[:60]}' has a quote that only line {closed_in} closes, which joins these "
            "rows; close it in its row, or remove it"
        )
    try:
        cells = next(csv.reader(line.splitlines(keepends=True), delimiter=separator, skipinitialspace=True), [])
        return f"line {number}", [cell.strip() for cell in cells]
    except csv.Error as error:
        raise BadInput(f"{path}, line {number}: {error}; expected 'frame,\"name, name\"'") from error


def _plain_row(separator: str, path: Path, where: str, cells: list[str]) -> Row:
    """A row of a file without further columns: the frame, then its names, with or without quotes."""
    if len(cells) < 2:
        name = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
        raise BadInput(f"{path}, {where}: '{cells[0]}' has no {name}; expected 'frame{separator}\"name, name\"'")
    return Row(where, cells[0], split_names(",".join(cells[1:])))


def _columns(where: str, heading: list[str]) -> list[str]:
    known = [name for name in heading if name in {"frame", "tag", *_COLUMNS}]
    if not {"tags", "tag"} & {*known} or len({*known}) < len(known):
        found = ", ".join(heading)
        raise BadInput(f"{where}: the columns are {found}; expected 'frame' and 'tags', and each name once")
    return heading


def _row_of_columns(columns: list[str], path: Path, where: str, cells: list[str]) -> Row:
    tags = "tags" if "tags" in columns else "tag"
    if len(cells) > len(columns) or len(cells) <= max(columns.index("frame"), columns.index(tags)):
        raise BadInput(
            f"{path}, {where}: {len(cells)} values; expected {len(columns)} ({', '.join(columns)}), "
            "with quotes around several names"
        )
    values = dict(zip(columns, cells, strict=False))  # the last columns may be left out
    unknown = [NOT_JUDGED + name for name in split_names(values.get("unknown", ""))]
    sign = _sign(f"{path}, {where}", values.get("confidence", "")) if tags == "tag" else ""
    names = [sign + name for name in split_names(values[tags])]
    return Row(where, values["frame"], names + unknown, values.get("split", ""))


def _surest(names: list[str]) -> list[str]:
    """The names without weaker ones: a class with several rows is present, else absent, else unknown."""
    absent = {name[1:] for name in names if name.startswith(ABSENT)}
    return [
        name
        for name in names
        if not (name.startswith((ABSENT, NOT_JUDGED)) and name[1:] in names)
        and not (name.startswith(NOT_JUDGED) and name[1:] in absent)
    ]


def _sign(where: str, confidence: str) -> str:
    """The sign of a tag with this confidence: Open Images has 0 for a class that is absent, 1 for one that is present.

    Raises BadInput for anything else than a number of 0..1.
    """
    try:
        share = float(confidence or 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BadInput(f"{where}: confidence '{confidence}'; expected a number from 0 (absent) to 1 (present)")
    return ABSENT if share == 0 else NOT_JUDGED if share < 0.5 else ""


# --- one column a class ----------------------------------------------------------------------------


def _is_matrix(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the columns next to the frames hold 0 and 1, or words for them, and no column holds tags."""
    if "frame" not in heading or {"tags", "tag"} & {*heading} or not rows:
        return False
    return bool(_class_columns(heading, rows))


def _class_columns(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    allowed = _PRESENT | _ABSENT | _UNKNOWN | {"", "-1"}
    found = []
    for at, name in enumerate(heading):
        values = {row[at].lower() for row in rows if at < len(row)}
        numbers = {value for value in values if value.isdecimal() and len(value) < 7}  # counts of objects
        if name and name not in {"frame", *_COLUMNS} and values <= allowed | numbers:
            found.append(at)
    return found if any(row[at] for row in rows for at in found if at < len(row)) else []


def _matrix(
    where: str,
    names: Sequence[str],
    heading: Sequence[str],
    rows: Sequence[tuple[str, list[str]]],
    each: Callable[..., list],
    path: Path,
) -> Content:
    columns = _class_columns(heading, [row for _, row in rows])
    values = {row[at].lower() for _, row in rows for at in columns if at < len(row)}
    if "-1" in values and values & {"0", "0.0"}:
        raise BadInput(f"{where}: the classes have 1, 0 and -1; write ? for a class that nobody could judge")
    meaning = (
        dict.fromkeys(_PRESENT, "") | dict.fromkeys(_ABSENT | {"-1"}, ABSENT) | dict.fromkeys(_UNKNOWN, NOT_JUDGED)
    )
    meaning[""] = NOT_JUDGED if values & (_ABSENT | {"-1"}) else ABSENT  # an empty cell next to written zeros
    frame, split = heading.index("frame"), heading.index("split") if "split" in heading else None

    def row_of(path: Path, where: str, cells: list[str]) -> Row:
        if len(cells) > len(heading) or len(cells) <= frame:
            raise BadInput(f"{path}, {where}: {len(cells)} values; expected {len(heading)}, one for each column")
        cells = cells + [""] * (len(heading) - len(cells))
        signed = [meaning.get(cells[at].lower(), "") + names[at] for at in columns]
        return Row(where, cells[frame], signed, cells[split] if split is not None else "")

    left = [name for at, name in enumerate(names) if name and at not in (*columns, frame, split)]
    notes = (f"columns that are not read: {', '.join(left)}",) if left else ()
    return Content(each(row_of, rows), vocabulary=tuple(names[at] for at in columns), notes=notes)
