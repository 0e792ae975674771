"""docs/tour.md names files, classes and functions that exist, and its pictures are there."""

import ast
import re

import pytest
from support.paths import ROOT

TOUR = (ROOT / "docs/tour.md").read_text()
# `file.py`, `file.py:name`, `folder/` or `folder/file.yaml`; topics such as `tags/image` have no ending.
NAMED = sorted(set(re.findall(r"`([\w./]+(?:\.\w+|/))(?::(\w+))?`", TOUR)))


def defined_names(tree: ast.AST) -> set[str]:
    names = {part.name for part in ast.walk(tree) if isinstance(part, ast.FunctionDef | ast.ClassDef)}
    for part in ast.walk(tree):
        targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_tour_names_many_files():
    assert len(NAMED) > 40


@pytest.mark.parametrize("path, name", NAMED)
def test_what_the_tour_names_exists(path, name):
    found = next((base / path for base in (ROOT / "wsss_ros", ROOT) if (base / path).exists()), None)
    assert found, f"docs/tour.md names {path}, which is neither in the package nor at the top"
    assert not name or name in defined_names(ast.parse(found.read_text())), f"{path} does not define {name}"


def test_its_pictures_are_there():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", TOUR)
    assert pictures == ["house.png", "house_before.png"]
    assert all((ROOT / "docs" / picture).is_file() for picture in pictures)
