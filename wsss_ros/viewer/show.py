"""Shows a recorded thing: the slider of time, playing it, and the view and cloud of the chosen time."""

import threading
import time
from collections.abc import Callable
from typing import Any

from wsss_ros.types import BadInput
from wsss_ros.viewer.recorded import Record
from wsss_ros.viewer.stage import Stage

SHORTEST_STEP_S = 0.1  # between two views while it plays
LONGEST_STEP_S = 1.0


class Player:
    """The slider of time and the button that plays. Each change of the slider is shown on a thread of its own.

    While a view is prepared, only the newest choice waits. ``close`` ends the thread.
    """

    def __init__(self, record: Record, stage: Stage) -> None:
        self._record, self._stage = record, stage
        self._changed = threading.Condition()
        self._chosen: int | None = 0
        self._ended = False
        self._shown: Any = None
        self.playing = False
        self._add_controls()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._show_chosen, self._play)]
        for thread in self._threads:
            thread.start()

    @property
    def last(self) -> int:
        """Index of the last view."""
        return len(self._record.stamps_ns) - 1

    def choose(self, index: int) -> None:
        """Show this view; the slider follows."""
        if self._slider is not None and self._slider.value != index:
            self._slider.value = index  # its callback comes back here
        with self._changed:
            self._chosen = index
            self._changed.notify_all()

    def close(self) -> None:
        """Stop playing and end the threads."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(30)

    # --- controls ---

    def _add_controls(self) -> None:
        gui, place = self._stage.panel.gui, self._stage.panel.place
        self._slider = self._button = None
        if self.last < 1:
            return
        place.visible = True
        with place:
            self._slider = gui.add_slider("view", 0, self.last, 1, 0)
            self._button = gui.add_button("play", icon="player-play")
        self._slider.on_update(lambda _: self.choose(int(self._slider.value)))
        self._button.on_click(lambda _: self._toggle())

    def _toggle(self) -> None:
        with self._changed:
            self.playing = not self.playing
            self._changed.notify_all()
        self._button.label, self._button.icon = ("stop", "player-stop") if self.playing else ("play", "player-play")

    def _play(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or (self.playing and self._chosen is None))
                if self._ended:
                    return
            index = int(self._slider.value)
            following = index + 1 if index < self.last else 0
            gap_s = (self._record.stamps_ns[following] - self._record.stamps_ns[index]) / 1e9
            time.sleep(min(max(gap_s, SHORTEST_STEP_S), LONGEST_STEP_S))
            if self.playing:
                self.choose(following)

    # --- showing ---

    def _show_chosen(self) -> None:
        self._show_all_poses()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._chosen is not None)
                if self._ended:
                    return
                index = self._chosen
            self._show(index)
            with self._changed:
                if self._chosen == index:
                    self._chosen = None
                self._changed.notify_all()

    def _show_all_poses(self) -> None:
        for pose in self._record.poses():
            self._stage.add_pose(pose)
        self._stage.show_path()

    def _show(self, index: int) -> None:
        stamp_s = (self._record.stamps_ns[index] - self._record.stamps_ns[0]) / 1e9
        status = f"**{self._record.name}** at {stamp_s:.2f} s, view {index} of {self.last}"
        try:
            view, points = self._record.view(index), self._record.points(index)
        except BadInput as error:  # one broken image must not end the rest
            self._stage.panel.show_status(f"{status}: {error}")
            return
        self._stage.panel.show_status(status)
        if view is not None:
            self._stage.show_view(view)
        if points is not None and points is not self._shown:
            self._stage.show_cloud(points)
        self._shown = points


def serve(record: Record, host: str, port: int, max_points: int, say: Callable[[str], None]) -> None:
    """Serve a record until Ctrl-C. Raises BadInput where the page cannot be served."""
    stage = Stage(host, port, record.labels, max_points, record.name)
    player = Player(record, stage)
    try:
        say(f"{record.name}: open {stage.address.url} in a browser; Ctrl-C ends it")
        if stage.address.is_open:
            say(f"whoever reaches {stage.address.url} may look; --host 127.0.0.1 keeps it on this machine")
        threading.Event().wait()
    finally:
        player.close()
        stage.close()
