"""Fixtures of the tests of bags."""

from pathlib import Path

import pytest
from support.tiny_scene import write_scene_folder


@pytest.fixture
def scene_folder(tmp_path, labels) -> Path:
    return write_scene_folder(tmp_path / "scene", labels)
