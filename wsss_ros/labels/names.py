"""Names of classes: which spellings are one name, and the class that a misspelt name probably means."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

_GAPS = re.compile(r"[\s_\-]+")


def key_of(name: str) -> str:
    """The form in which names are compared: case does not count, and spaces, ``_`` and ``-`` are alike."""
    return _GAPS.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name with the spelling nearest to ``name``. Gaps do not count: 'book shelf' is near 'bookshelf'."""
    plain = {key_of(other).replace(" ", ""): other for other in known}
    return plain[difflib.get_close_matches(key_of(name).replace(" ", ""), plain, n=1, cutoff=0.0)[0]]


def coinciding(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that are one name by ``key_of``, or None."""
    seen: dict[str, str] = {}
    for name in names:
        before = seen.setdefault(key_of(name), name)
        if before is not name:
            return before, name
    return None
