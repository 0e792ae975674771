"""The viewer in a real Chromium, with WebGL in software: what a person sees, and the switches of the classes."""

import io

import numpy as np
import pytest
from PIL import Image
from support import browser
from support.browser import Browser
from support.waiting import until

pytest.importorskip("viser", reason="the extra [view] is not installed")

from wsss_ros.labels import scannet20  # noqa: E402
from wsss_ros.types import Camera  # noqa: E402
from wsss_ros.viewer.points import ShownPoints  # noqa: E402
from wsss_ros.viewer.stage import ShownView, Stage  # noqa: E402

SPACE = scannet20()
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if why := browser.missing():
        pytest.skip(why)
    with Browser(tmp_path_factory.mktemp("browser"), webgl=True) as made:
        made.size(1200, 800)
        yield made


@pytest.fixture(scope="module")
def stage():
    made = Stage("127.0.0.1", 0, SPACE)
    yield made
    made.close()


def two_walls() -> ShownPoints:
    """A square of chairs and, next to it, a square of tables."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 100), np.linspace(-1, 1, 100)))
    xyz = np.stack([x, y, np.zeros_like(x)], axis=1).astype(np.float32)
    labels = np.where(x < 0, SPACE.index("chair"), SPACE.index("table")).astype(np.uint8)
    return ShownPoints(xyz, labels)


def share(picture: np.ndarray, name: str) -> float:
    """Share of the pixels whose colour is near that of the class; points are shaded a little."""
    away = np.abs(picture[..., :3].astype(int) - SPACE.colors[SPACE.index(name)]).max(axis=-1)
    return float((away < 40).mean())


def test_the_page_draws_classes_and_a_click_hides_one(window, stage, tmp_path):
    stage.show_cloud(two_walls())
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = 2.0
    stage.show_view(ShownView(np.full((48, 64, 3), 200, np.uint8), Camera(60, 60, 31.5, 23.5, 64, 48), pose))
    window.go(stage.address.url)

    def picture() -> np.ndarray:
        window.screenshot(tmp_path / "page.png")
        return np.asarray(Image.open(io.BytesIO((tmp_path / "page.png").read_bytes())).convert("RGB"))[:, :800]

    until(lambda: min(share(picture(), "chair"), share(picture(), "table")) > 0.02, "the cloud was never drawn")
    click = (
        "const b = [...document.querySelectorAll('button')].find(b => b.innerText.includes('chair')); b && b.click();"
    )
    assert window.run(click + "return !!b")
    until(lambda: share(picture(), "chair") < 0.005, "the chairs are still drawn")
    assert share(picture(), "table") > 0.02
    saved = stage.picture(next(iter(stage._server.get_clients().values())))
    assert share(saved, "table") > 0.02 and share(saved, "chair") < 0.005
