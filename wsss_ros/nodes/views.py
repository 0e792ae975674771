"""The newest whole view on the worker: the input of the nodes that build something of views."""

from collections.abc import Callable
from typing import Any

from wsss_ros.nodes.health import Report
from wsss_ros.nodes.node import Node
from wsss_ros.nodes.view_cameras import COLOR
from wsss_ros.nodes.view_inputs import DepthViewConfig, View, ViewInputs
from wsss_ros.nodes.view_sources import Need


class Views:
    """The posed views of a node. ``use(content)`` is called on its worker as job ``frame``; the newest view wins.

    The content of a ``View`` is a Frame; another class ``view``, of the images on ``images``, may have another content.

    After the stamps have jumped back (a looped bag), ``jumped()`` is called there once, before the first view of the
    new time; views of the time before are left out. ``reframed(frame_id)`` is called before the first view whose pose
    is in another frame than those before. ``purpose`` is what cannot be made without views.
    """

    def __init__(
        self,
        node: Node,
        config: DepthViewConfig,
        purpose: str,
        use: Callable[[Any], None],
        jumped: Callable[[], None],
        reframed: Callable[[str], None],
        view: type[View] = View,
        images: str = COLOR,
    ) -> None:
        self._node, self._purpose, self._use, self._jumped, self._reframed = node, purpose, use, jumped, reframed
        self.frame_id = config.fixed_frame  # of the poses of the last view
        self._resets, self._seen = 0, False
        self._last_depth: object = None
        self.inputs = ViewInputs(node, config, purpose, view, self._submit, one_frame=True, images=images)

    def subscribe(self, needed: Callable[[], bool] = lambda: True) -> None:
        """Subscribe while the node is active. Silence is reported while ``needed()``."""
        self.inputs.start(Need(self._purpose, needed), needed)

    def report(self) -> Report:
        """Problems and values of the inputs, for the diagnostics."""
        return self.inputs.report()

    def handle_jump(self) -> None:
        """Call ``jumped`` now where the stamps have jumped back and no view has come since. Only on the worker."""
        self._handle_jump(self.inputs.sync.resets)

    def _submit(self, view: View) -> None:
        if view.companions.depth is self._last_depth:  # colour is faster than depth, which makes points once only
            self._node.health.drop("depth in the view before")
            return
        self._last_depth = view.companions.depth
        self._node.submit("frame", self._use_view, view)

    def _use_view(self, view: View) -> None:
        self._handle_jump(view.resets)
        if view.resets != self._resets:  # the view is of the time before the jump
            return
        frame_id = view.companions.pose.frame_id
        if self._seen and frame_id != self.frame_id:
            self._reframed(frame_id)
        self.frame_id, self._seen = frame_id, True
        self._use(view.content())

    def _handle_jump(self, resets: int) -> None:
        if resets > self._resets:
            self._resets = resets
            self._jumped()
