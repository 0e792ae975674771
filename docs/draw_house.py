"""Draws the rooms of the package and their imports: `python docs/draw_house.py CHECKOUT PICTURE` (`make house`).

A room is a folder or a single module of wsss_ros/. A room stands above all rooms that it imports.
"""

import ast
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "wsss_ros"
BOX, GAP = (2.75, 0.92), (0.35, 0.62)  # width and height, inches
IN_A_ROW = 6
MUTED, STRONG, FILL, BAR = "#d3dae2", "#33526e", "#f4f7fa", "#d98a3d"


@dataclass(frozen=True)
class Room:
    """A folder or a single module of the package."""

    name: str
    is_folder: bool
    subject: str
    files: int
    lines: int
    imports: frozenset[str]  # names of other rooms


def modules(package: Path) -> dict[str, ast.Module]:
    """Each module by its name without the package's: ``scenes.ply``, or ``scenes`` for ``scenes/__init__``."""
    files = sorted(file for file in package.rglob("*.py") if file != package / "__init__.py")
    names = (".".join(file.relative_to(package).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return {name: ast.parse(file.read_text()) for name, file in zip(names, files, strict=True)}


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """Every module that a file imports, also within functions; ours, those of ``known``, without the package's name."""
    found = set()
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            found |= {name.name.removeprefix(f"{PACKAGE}.") for name in part.names}
        elif isinstance(part, ast.ImportFrom):
            if part.level:
                raise SyntaxError(f"line {part.lineno} is a relative import; expected the full name of the module")
            for name in part.names:
                inner = f"{part.module}.{name.name}".removeprefix(f"{PACKAGE}.")
                found.add(inner if inner in known else part.module.removeprefix(f"{PACKAGE}."))
    return found


def rooms(checkout: Path) -> list[Room]:
    """All rooms of the package in a checkout, by name."""
    package = checkout / PACKAGE
    trees = modules(package)
    found = []
    for name in sorted({module.split(".")[0] for module in trees}):
        inside = [module for module in trees if module.split(".")[0] == name]
        is_folder = (package / name).is_dir()
        files = sorted((package / name).rglob("*.py")) if is_folder else [package / f"{name}.py"]
        needs = {target.split(".")[0] for module in inside for target in imports(trees[module], set(trees))}
        found.append(
            Room(
                name,
                is_folder,
                _subject(trees.get(name)),
                len(files),
                sum(len(file.read_text().splitlines()) for file in files),
                frozenset((needs & {module.split(".")[0] for module in trees}) - {name}),
            )
        )
    return found


def heights(found: list[Room]) -> dict[str, int]:
    """The row of each room: 0 for one that imports no other room, otherwise one above the highest that it imports."""
    below = {room.name: room.imports for room in found}
    rows: dict[str, int] = {}
    while left := [name for name in below if name not in rows]:
        ready = [name for name in left if below[name] <= rows.keys()]
        if not ready:
            raise ValueError(f"these rooms import each other in a circle: {', '.join(left)}")
        rows |= {name: 1 + max((rows[needed] for needed in below[name]), default=-1) for name in ready}
    return rows


def direct(found: list[Room]) -> set[tuple[str, str]]:
    """The imports (from, to) that no chain of other imports leads to as well."""
    below = {room.name: room.imports for room in found}
    reached: dict[str, set[str]] = {}
    for name in sorted(below, key=heights(found).__getitem__):
        reached[name] = set(below[name]).union(*(reached[needed] for needed in below[name]))
    return {
        (name, target)
        for name in below
        for target in below[name]
        if not any(target in reached[other] for other in below[name])
    }


def draw(found: list[Room], picture: Path, title: str) -> None:
    """Write the picture: a box for each room with its share of all lines, an arrow for each import between rooms."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    places = _places(found)
    width = max(x for x, _ in places.values()) + BOX[0]
    height = max(y for _, y in places.values()) + BOX[1]
    figure = pyplot.figure(figsize=(width + 0.6, height + 1.2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.3, width + 0.3), ylim=(-0.3, height + 0.9))
    axes.axis("off")
    total = sum(room.lines for room in found)
    axes.text(0, height + 0.55, title, fontsize=17, weight="bold", va="center")
    axes.text(
        0,
        height + 0.22,
        f"{len(found)} rooms, {total:,} lines. A room imports only rooms below it. Dark arrows: what it imports "
        "directly. Pale ones: what another import leads to as well. Bars: share of all lines.",
        fontsize=10.5,
        va="center",
    )
    short = direct(found)
    links = sorted(((room.name, target) for room in found for target in room.imports), key=lambda link: link in short)
    for source, target in links:
        _arrow(axes, places[source], places[target], (source, target) in short)
    for room in found:
        _box(axes, places[room.name], room, room.lines / total)
    figure.savefig(picture, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def _subject(tree: ast.Module | None) -> str:
    """The first sentence of a docstring, without marks."""
    text = (ast.get_docstring(tree) if tree else None) or ""
    first = re.split(r"\.(?=\s+[A-Z`]|$)", " ".join(text.split("\n\n")[0].split()))[0]
    return first.replace("`", "")


def _places(found: list[Room]) -> dict[str, tuple[float, float]]:
    """The lower left corner of each box. Boxes of a row stand near those that they import; full rows are broken."""
    rows = heights(found)
    below = {room.name: room.imports for room in found}
    places: dict[str, tuple[float, float]] = {}
    y = 0.0
    for row in range(max(rows.values()) + 1):
        names = sorted(name for name in rows if rows[name] == row)
        names.sort(key=lambda name: sum(places[other][0] for other in below[name]) / max(1, len(below[name])))
        for start in range(0, len(names), IN_A_ROW):
            some = names[start : start + IN_A_ROW]
            step = BOX[0] + GAP[0]
            left = (IN_A_ROW - len(some)) * step / 2
            places |= {name: (left + place * step, y) for place, name in enumerate(some)}
            y += BOX[1] + (GAP[1] if start + IN_A_ROW >= len(names) else 0.16)
    return places


def _arrow(axes, source: tuple[float, float], target: tuple[float, float], strong: bool) -> None:
    axes.annotate(
        "",
        xy=(target[0] + BOX[0] / 2, target[1] + BOX[1]),
        xytext=(source[0] + BOX[0] / 2, source[1]),
        arrowprops={
            "arrowstyle": "-|>" if strong else "-",
            "color": STRONG if strong else MUTED,
            "linewidth": 1.3 if strong else 0.6,
            "shrinkA": 0,
            "shrinkB": 1,
        },
        zorder=2 if strong else 1,
    )


def _box(axes, place: tuple[float, float], room: Room, share: float) -> None:
    from matplotlib.patches import Rectangle

    x, y = place
    axes.add_patch(Rectangle(place, *BOX, facecolor=FILL, edgecolor=STRONG, linewidth=1.1, zorder=3))
    axes.add_patch(Rectangle(place, BOX[0] * share / 0.4, 0.07, facecolor=BAR, zorder=4))
    name = room.name + "/" * room.is_folder
    axes.text(x + 0.08, y + BOX[1] - 0.17, name, fontsize=12, weight="bold", va="center", zorder=5)
    size = f"{room.lines:,} lines" + (f", {room.files} files" if room.is_folder else "") + f", {share:.0%}"
    axes.text(x + BOX[0] - 0.07, y + BOX[1] - 0.17, size, fontsize=7.5, ha="right", va="center", color=STRONG, zorder=5)
    text = textwrap.shorten(room.subject, 115, placeholder=" ...")
    axes.text(x + 0.08, y + BOX[1] - 0.32, textwrap.fill(text, 42), fontsize=7.8, va="top", linespacing=1.1, zorder=5)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("expected: python docs/draw_house.py CHECKOUT PICTURE [TITLE]")
    draw(rooms(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) == 4 else "The house of wsss_ros")
