"""Pictures of results: sheets of frames, clouds seen obliquely from above, legends, confusion matrices."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from wsss_ros.files import replace
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.types import BadInput

_PAD, _TITLE, _INK = 6, 20, (30, 30, 30)
_LARGEST_DOT = 64  # pixels of a point in a picture of a cloud
_GOLDEN = 0.618034  # steps of the hue: neighbouring numbers get different colours


def heat(values: Float32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Values 0..1 as colours from black over red and yellow to white."""
    steps = np.clip(values, 0, 1)[..., None] * 3 - np.arange(3)
    return (255 * np.clip(steps, 0, 1)).astype(np.uint8)


def blend(
    rgb: UInt8[np.ndarray, "H W 3"], color: UInt8[np.ndarray, "H W 3"], alpha: float
) -> UInt8[np.ndarray, "H W 3"]:
    """The image mixed with ``color``, whose share is ``alpha``."""
    return (rgb * (1 - alpha) + color * alpha).astype(np.uint8)


def scaled(picture: UInt8[np.ndarray, "H W 3"], width: int) -> UInt8[np.ndarray, "h w 3"]:
    """The picture resized to this width by nearest neighbour; its proportions stay."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))


def padded(rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]]) -> list[list[UInt8[np.ndarray, "_ _ 3"]]]:
    """The pictures of all rows at the height of the highest, white below."""
    height = max(picture.shape[0] for row in rows for picture in row)

    def pad(picture: UInt8[np.ndarray, "_ _ 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
        return np.pad(picture, ((0, height - picture.shape[0]), (0, 0), (0, 0)), constant_values=255)

    return [[pad(picture) for picture in row] for row in rows]


def overlay(
    rgb: UInt8[np.ndarray, "H W 3"], predicted: UInt8[np.ndarray, "H W"], labels: LabelSpace, alpha: float = 0.6
) -> UInt8[np.ndarray, "H W 3"]:
    """The image mixed with the colours of its predicted classes, whose share is ``alpha``.

    Unlabelled pixels are unchanged.
    """
    return np.where((predicted != UNLABELLED)[..., None], blend(rgb, labels.colorize(predicted), alpha), rgb)


def sheet(
    titles: Sequence[str], rows: Sequence[Sequence[UInt8[np.ndarray, "H W 3"]]], legend: Image.Image | None = None
) -> Image.Image:
    """A grid of pictures of one size with a title over each column and a legend below."""
    height, width = rows[0][0].shape[:2]
    columns = len(titles)
    size = (columns * (width + _PAD) + _PAD, _TITLE + len(rows) * (height + _PAD) + _PAD)
    page = Image.new("RGB", (size[0], size[1] + (legend.height if legend else 0)), "white")
    draw = ImageDraw.Draw(page)
    for column, title in enumerate(titles):
        draw.text((_PAD + column * (width + _PAD), 3), title, fill=_INK, font=_font())
        for row, pictures in enumerate(rows):
            place = (_PAD + column * (width + _PAD), _TITLE + row * (height + _PAD))
            page.paste(Image.fromarray(pictures[column]), place)
    if legend:
        page.paste(legend, (0, size[1]))
    return page


def labelled_sheet(
    titles: Sequence[str],
    rows: Sequence[Sequence[UInt8[np.ndarray, "H W 3"]]],
    labels: LabelSpace,
    names: Iterable[str],
) -> Image.Image:
    """A ``sheet`` with the legend of the named classes below it."""
    width = len(titles) * (rows[0][0].shape[1] + _PAD)
    return sheet(titles, rows, legend(labels, sorted(names), width))


def arranged(columns: Sequence[Sequence[Image.Image]], labels: LabelSpace, names: Iterable[str]) -> Image.Image:
    """Columns of pictures next to each other, with the legend of the named classes below them."""
    each = [stacked(column) for column in columns]
    page = Image.new("RGB", (sum(made.width for made in each), max(made.height for made in each)), "white")
    left = 0
    for made in each:
        page.paste(made, (left, 0))
        left += made.width
    return stacked([page, legend(labels, sorted(names), page.width)])


def stacked(pages: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other, white to the right of narrower ones."""
    page = Image.new("RGB", (max(each.width for each in pages), sum(each.height for each in pages)), "white")
    top = 0
    for each in pages:
        page.paste(each, (0, top))
        top += each.height
    return page


def legend(labels: LabelSpace, names: Sequence[str], width: int) -> Image.Image:
    """The colours and names of the classes ``names`` and of "unlabelled", in a picture of this width."""
    entries = [(name, labels.colors[labels.names.index(name)]) for name in labels.names if name in names]
    entries.append(("unlabelled", (0, 0, 0)))
    cell, line = 145, 20
    columns = max(1, (width - _PAD) // cell)
    page = Image.new("RGB", (width, line * -(-len(entries) // columns) + _PAD), "white")
    draw = ImageDraw.Draw(page)
    for index, (name, color) in enumerate(entries):
        x, y = _PAD + index % columns * cell, index // columns * line
        draw.rectangle((x, y + 3, x + 13, y + 15), fill=tuple(color), outline=_INK)
        draw.text((x + 19, y + 2), name, fill=_INK, font=_font())
    return page


def confusion(
    counts: Int64[np.ndarray, "C C+1"], names: Sequence[str], title: str = "", unit: str = "pixels"
) -> Image.Image:
    """A picture of a confusion matrix: each row is one true class, in percent of its pixels or points (``unit``).

    The number of pixels or points is next to the name of the class. The last column holds predictions outside the
    classes. Rows of classes without truth are grey.
    """
    from matplotlib.figure import Figure

    classes, total = len(names), counts.sum(axis=1)
    share = np.divide(100 * counts, total[:, None], out=np.full(counts.shape, np.nan), where=total[:, None] > 0)
    figure = Figure(figsize=(3.4 + 0.46 * (classes + 1), 2.2 + 0.4 * classes), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("0.88")
    image = axes.imshow(np.ma.masked_invalid(share), cmap="Blues", vmin=0, vmax=100, aspect="auto")
    rows = [f"{name}  {count:,}" for name, count in zip(names, total, strict=True)]
    axes.set_xticks(range(classes + 1), [*names, "no class"], rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(classes), rows)
    for row, column in zip(*np.nonzero(share >= 0.5), strict=True):
        ink = "white" if share[row, column] > 55 else "black"
        axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xlabel("predicted")
    axes.set_ylabel(f"true class and its {unit}")
    axes.set_title(title)
    figure.colorbar(image, label="percent of the true class", shrink=0.7, pad=0.01)
    return drawn(figure)


def drawn(figure: Any) -> Image.Image:
    """The picture of a Matplotlib figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def save_figure(figure: Any, path: Path) -> None:
    """Write a Matplotlib figure as the PNG file ``path``, atomically. Raises OSError."""
    replace(path, lambda file: figure.savefig(file, format="png", dpi=110))


def region_colors(region: Integer[np.ndarray, "N"]) -> UInt8[np.ndarray, "N 3"]:
    """A colour for the number of each point's region or cluster; points without one (-1) are dark grey."""
    number = np.arange(region.max(initial=-1) + 1)
    hue, light = number * _GOLDEN % 1 * 6, 0.62 + 0.36 * (number * 0.381966 % 1)
    channels = [np.clip(np.abs((hue + shift) % 6 - 3) - 1, 0.15, 1) * light for shift in (0, 4, 2)]
    colors = (255 * np.stack(channels, axis=-1)).astype(np.uint8).reshape(-1, 3)
    return np.concatenate([colors, [[60, 60, 60]]]).astype(np.uint8)[region]


def render_cloud(
    xyz: Float[np.ndarray, "N 3"],
    rgb: UInt8[np.ndarray, "N 3"] | None,
    like: Float[np.ndarray, "M 3"] | None = None,
    size: tuple[int, int] = (640, 480),
    azimuth_deg: float = 35.0,
    elevation_deg: float = 55.0,
    cut_above_m: float = 1.9,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw an upright cloud (z against gravity) obliquely from above, in parallel projection.

    Points higher than ``cut_above_m`` over the floor are left out, so that ceiling and near walls do not hide the
    room. The view fits the points ``like`` (those of the cloud if None), so that pictures of several clouds can be
    compared. ``size`` is (width, height) in pixels. Without ``rgb`` the points are grey.
    """
    rgb = np.full(xyz.shape, 160, np.uint8) if rgb is None else rgb
    like = xyz if like is None else like
    lowest, highest = np.percentile(like, [0.5, 99.5], axis=0)
    ceiling = lowest[2] + cut_above_m
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    right = np.array([np.cos(a), np.sin(a), 0])
    forward = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)])
    axes = np.stack([right, np.cross(forward, right), forward]).T
    framed = (like[like[:, 2] < ceiling] @ axes)[:, :2]
    low, high = np.percentile(framed, [0.5, 99.5], axis=0)
    scale = 0.92 * min(size / np.maximum(high - low, 1e-3))
    kept = (xyz[:, 2] < ceiling) & (xyz > lowest - 0.3).all(1) & (xyz < highest + 0.3).all(1)
    seen = xyz[kept] @ axes
    uv = np.rint((seen[:, :2] - (low + high) / 2) * scale + np.array(size) / 2).astype(int)
    return _splat(uv, seen[:, 2], rgb[kept], *size, min(_LARGEST_DOT, max(2, int(np.ceil(0.024 * scale)))))


def _splat(uv: np.ndarray, depth: np.ndarray, rgb: np.ndarray, width: int, height: int, dot: int) -> np.ndarray:
    """Points as squares of ``dot`` pixels, near ones over far ones."""
    picture = np.full((height * width, 3), 255, np.uint8)
    nearest = np.full(height * width, np.inf)
    order = np.argsort(-depth, kind="stable")[::-1]  # near points first: one of several at a place is drawn
    places = uv[order, 1].astype(np.int64) * (1 << 32) + uv[order, 0]
    kept = order[np.unique(places, return_index=True)[1]]
    (left, top), depth, rgb = uv[kept].T - dot // 2, depth[kept], rgb[kept]
    for dv in range(dot):
        for du in range(dot):
            u, v = left + du, top + dv
            inside = np.flatnonzero((u >= 0) & (u < width) & (v >= 0) & (v < height))
            pixel = v[inside] * width + u[inside]
            closer = depth[inside] < nearest[pixel]
            pixel, drawn = pixel[closer], inside[closer]
            nearest[pixel], picture[pixel] = depth[drawn], rgb[drawn]
    return picture.reshape(height, width, 3)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=12)


def save(picture: Image.Image | UInt8[np.ndarray, "H W 3"], path: str | Path) -> Path:
    """Write a picture in the format of the path's suffix, atomically; missing folders are created. Returns the path.

    Raises BadInput for a suffix of no picture, and OSError.
    """
    path, image = Path(path), picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise BadInput(f"{path}: not the name of a picture; expected one that ends in .png or .jpg")
    replace(path, lambda file: image.save(file, kind))
    return path
