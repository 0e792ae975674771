"""The panel of the viewer: what to colour by, which classes to draw, the picture of the camera, and its buttons."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.viewer.points import MODES

_OFF = (105, 105, 105)  # of the button of a class that is not drawn
_PICTURE_QUALITY = 80


class Panel:
    """Controls of a viser server. ``changed()`` is called after each change that asks for other points or colours.

    Class buttons are sorted by the number of points; a class without points has no button.
    """

    def __init__(self, gui: Any, space: LabelSpace, changed: Callable[[], None]) -> None:
        self.gui, self._changed = gui, changed
        self._heights: tuple[float, float] | None = None
        self._image: Any = None
        self._status = gui.add_markdown("waiting for data")
        self._mode = gui.add_dropdown("colour", MODES, initial_value=MODES[0], hint="What the colour of a point shows")
        self._size = gui.add_slider("point size, cm", 0.5, 10.0, 0.5, 2.0)
        self._below = gui.add_slider(
            "hide above, m", 0.0, 5.0, 0.1, 5.0, hint="At its end, points of any height are drawn"
        )
        self.path = gui.add_checkbox("camera and path", True)
        self.look = gui.add_button("look from the camera", icon="eye")
        self.save = gui.add_button("save a picture", icon="camera")
        self.place = gui.add_folder("recording", visible=False)
        self._folder = gui.add_folder("classes")
        with self._folder:
            everything = gui.add_button_group("draw", ("all", "none"))
        self._buttons: list[Any] = []
        self.show_classes(space)
        everything.on_click(lambda event: self._draw_all(event.target.value == "all"))
        for control in (self._mode, self._below):
            control.on_update(lambda _: changed())

    @property
    def mode(self) -> str:
        """The chosen colour mode."""
        return self._mode.value

    @property
    def shown(self) -> Bool[np.ndarray, "K"]:
        """Whether each class, and last the unlabelled points, are drawn."""
        return self._shown.copy()

    @property
    def below_m(self) -> float:
        """Height above which points are not drawn."""
        return np.inf if self._below.value >= self._below.max else float(self._below.value)

    @property
    def point_size_m(self) -> float:
        """Edge of a drawn point."""
        return self._size.value / 100

    def on_point_size(self, function: Callable[[float], None]) -> None:
        """Call ``function`` with the new size, in metres, after each change."""
        self._size.on_update(lambda _: function(self.point_size_m))

    def show_status(self, text: str) -> None:
        """Show a text, as Markdown, at the top."""
        if self._status.content != text:
            self._status.content = text

    def show_modes(self, modes: tuple[str, ...]) -> None:
        """Offer these colour modes."""
        if modes and tuple(self._mode.options) != modes:
            self._mode.options = modes

    def show_heights(self, lowest_m: float, highest_m: float) -> None:
        """Widen the range of the slider of heights so that it covers these; it starts with the first ones."""
        low, high = np.floor(lowest_m * 10) / 10, np.ceil(highest_m * 10) / 10 + 0.1
        if self._heights is not None:
            low, high = min(low, self._heights[0]), max(high, self._heights[1])
        if self._heights == (low, high):
            return
        slider, everything = self._below, not np.isfinite(self.below_m)
        self._heights = (low, high)
        slider.min, slider.max = float(low), float(high)
        if everything:
            slider.value = float(high)

    def show_classes(self, space: LabelSpace) -> None:
        """Offer the classes of this label space in place of those before. All of them are drawn."""
        for button in self._buttons:
            button.remove()
        self._shown = np.ones(len(space) + 1, bool)
        self._names = (*space.names, "unlabelled")
        self._colors = (*(tuple(color) for color in space.colors), (128, 128, 128))
        self._counts: tuple[int, ...] = ()
        with self._folder:
            self._buttons = [self._class_button(index) for index in range(len(self._names))]

    def show_counts(self, counts: Int64[np.ndarray, "K"]) -> None:
        """Write the number of points of each class on its button, the most frequent class first."""
        if tuple(counts) == self._counts:
            return
        self._counts = tuple(counts)
        total = max(1, int(counts.sum()))
        for place, index in enumerate(np.argsort(-counts, kind="stable")):
            button, count = self._buttons[index], int(counts[index])
            button.visible = count > 0
            if count:
                button.label = f"{self._names[index]} · {_percent(count / total)} · {count:,}"
                button.order = float(1000 + place)

    def show_image(self, rgb: UInt8[np.ndarray, "H W 3"], label: str) -> None:
        """Show the newest picture below the controls."""
        if self._image is None:
            self._image = self.gui.add_image(rgb, label=label, format="jpeg", jpeg_quality=_PICTURE_QUALITY, order=-1)
            return
        self._image.image = rgb
        if self._image.label != label:
            self._image.label = label

    # --- classes ---

    def _class_button(self, index: int) -> Any:
        button = self.gui.add_button(self._names[index], color=self._colors[index], icon="eye", visible=False)
        button.on_click(lambda _: self._draw(index, not self._shown[index]))
        return button

    def _draw(self, index: int, on: bool) -> None:
        self._mark(index, on)
        self._changed()

    def _draw_all(self, on: bool) -> None:
        for index in range(len(self._buttons)):
            self._mark(index, on)
        self._changed()

    def _mark(self, index: int, on: bool) -> None:
        self._shown[index] = on
        self._buttons[index].color = self._colors[index] if on else _OFF
        self._buttons[index].icon = "eye" if on else "eye-off"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "<1 %"
