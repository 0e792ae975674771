"""`wsss select`: which frames of scenes, bags or pictures are worth tagging, by what a network sees in them."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsss_ros.evaluation import pictures
from wsss_ros.files import write_text
from wsss_ros.label_files.frame_labels import FrameLabels
from wsss_ros.label_files.fused import causes
from wsss_ros.label_files.sources import Source
from wsss_ros.samples.selection import diverse, objective, presence, with_rare_class
from wsss_ros.scenes.images import decode_rgb, encode_jpeg
from wsss_ros.types import BadInput

_THUMB = 320
_DRAWS = 200


@dataclass
class Choice:
    """A frame that is worth tagging, with the classes that its labels show; ``picture`` is a small JPEG."""

    source: str
    frame: str
    stamp_ns: int
    classes: tuple[str, ...]
    picture: bytes


@dataclass
class Selection:
    """The chosen frames, best first; ``candidates`` is the number of frames they were chosen from.

    ``left_out`` counts the frames that have no labels or cannot be read, by cause, and ``unread`` those that cannot.
    ``value`` is the sum over the classes of the square root of the number of frames that show it, for the chosen frames
    and as the mean over random choices of as many.
    """

    choices: list[Choice]
    candidates: int
    value: float
    random_value: float
    left_out: Counter[str] = field(default_factory=Counter)
    unread: int = 0


def select(
    sources: Sequence[Source],
    count: int,
    labels_of: Callable[[Source], FrameLabels],
    rare_share: float = 1.0,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Selection:
    """Choose ``count`` frames whose predicted classes are as many and as rare as possible (``selection.diverse``).

    ``labels_of`` gives the labels of the frames of a source; all have one label space. A frame without a class that at
    most ``rare_share`` of the frames show is not a candidate. Raises BadInput when there are no frames, or none of them
    is a candidate.
    """
    seen, candidates, left_out, unread = [], [], Counter[str](), Counter[str]()

    def leave_out(error: BadInput) -> None:
        left_out[str(error)] += 1

    def leave_out_unread(error: BadInput) -> None:
        leave_out(error)
        unread[str(error)] += 1

    for source in sources:
        source.broken = leave_out_unread
        try:
            labels = labels_of(source)
        except BadInput as error:
            leave_out(error)
            continue
        for number, (frame, _) in enumerate(source.frames()):
            try:
                shown = presence(labels.of(frame), len(labels.labels))
            except BadInput as error:
                leave_out(error)
                continue
            names = labels.labels.tags(shown.astype(np.float32))
            seen.append(shown)
            small = encode_jpeg(pictures.scaled(frame.rgb, min(_THUMB, frame.rgb.shape[1])), 85, "420")
            candidates.append(Choice(source.name, frame.name or str(number), frame.stamp_ns, names, small))
            progress(source.name, number + 1, source.count)
    if not candidates:
        raise BadInput(f"there are no frames to choose from ({', '.join(causes(left_out)) or 'the input has none'})")
    every = np.array(seen)
    kept = with_rare_class(every, rare_share)
    if not len(kept):
        raise BadInput(f"no frame shows a class that at most {100 * rare_share:g} % of the frames show; raise --rare")
    count = min(count, len(kept))
    order = kept[diverse(every[kept], count)]
    draw = np.random.default_rng(0)
    drawn = [objective(every[draw.choice(len(every), count, replace=False)]) for _ in range(_DRAWS)]
    chosen = [candidates[i] for i in order]
    return Selection(chosen, len(candidates), objective(every[order]), float(np.mean(drawn)), left_out, unread.total())


def write(selection: Selection, out: Path) -> None:
    """Write ``out/select.csv`` (order, scene, frame, stamp, predicted classes) and ``out/select.png``, the frames."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["order", "scene", "frame", "stamp", "predicted"])
    for place, choice in enumerate(selection.choices, 1):
        stamp = "{}.{:09d}".format(*divmod(choice.stamp_ns, 10**9))
        rows.writerow([place, choice.source, choice.frame, stamp, ", ".join(choice.classes)])
    write_text(out / "select.csv", text.getvalue())
    _draw(selection.choices[:30], out / "select.png")


def _draw(choices: Sequence[Choice], path: Path) -> None:
    columns, small = min(5, len(choices)), [decode_rgb(choice.picture, choice.frame) for choice in choices]
    shots = pictures.padded([[pictures.scaled(each, small[0].shape[1]) for each in small]])[0]
    pages = []
    for start in range(0, len(shots), columns):
        row = [*shots[start : start + columns], *[np.full_like(shots[0], 255)] * (columns - len(shots[start:]))]
        titles = [_title(start + i, choice) for i, choice in enumerate(choices[start : start + columns])]
        pages.append(pictures.sheet([*titles, *[""] * (columns - len(titles))], [row]))
    pictures.save(pictures.stacked(pages), path)


def _title(place: int, choice: Choice) -> str:
    return f"{place + 1}: {', '.join(choice.classes)}"[:52]
