"""The newest whole view on the worker: the input of the nodes that build something of views."""

from collections.abc import Callable

from wsss_ros.nodes.health import Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.view_inputs import View, ViewConfig, ViewInputs
from wsss_ros.nodes.view_sources import Need
from wsss_ros.types import Frame


class Views:
    """The posed views of a node. ``use(frame)`` is called on its worker as job ``frame``; the newest view wins.

    After the stamps have jumped back (a looped bag), ``jumped()`` is called there once, before the first view of the
    new time; views of the time before are left out. ``purpose`` is what cannot be made without views.
    """

    def __init__(
        self,
        node: Node,
        purpose: str,
        use: Callable[[Frame], None],
        jumped: Callable[[], None],
        frame_id: str,
        config: ViewConfig,
    ) -> None:
        self._node, self._purpose, self._use, self._jumped, self._resets = node, purpose, use, jumped, 0
        self.inputs = ViewInputs(node, config, View, self._submit, frame_id=frame_id)

    def subscribe(self, needed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe while the node is active. Silence is reported while ``needed()``."""
        need = Need(self._purpose, needed)
        self.inputs.start(need, need)

    def report(self) -> Report:
        """Problems and values of the matching, for the diagnostics."""
        return self.inputs.report(self._purpose)

    def handle_jump(self) -> None:
        """Call ``jumped`` now where the stamps have jumped back and no view has come since. Only on the worker."""
        self._handle_jump(self.inputs.sync.resets)

    def _submit(self, view: View) -> None:
        self._node.submit("frame", self._use_view, view)

    def _use_view(self, view: View) -> None:
        self._handle_jump(view.resets)
        if view.resets == self._resets:  # otherwise the view is of the time before the jump
            self._use(view.frame(view.rgb()))

    def _handle_jump(self, resets: int) -> None:
        if resets > self._resets:
            self._resets = resets
            self._jumped()
