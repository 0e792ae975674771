"""Services whose work takes long: it is done on a thread of its own, while the executor takes messages."""

from collections.abc import Callable
from concurrent.futures import Future as Work
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger

from wsss_ros.nodes.node import Node
from wsss_ros.types import BadInput

T = TypeVar("T")


class SlowServices:
    """Services of a node, of type Trigger: one at a time, in the order of the requests.

    A service answers when its work is done. It answers without success while the node is not active, and where its
    work raises; the message is then the reason. ``message`` is that of the last answer, ``pending`` the number of
    requests without one.
    """

    def __init__(self, node: Node) -> None:
        self._node, self.message, self.pending = node, "", 0
        # A service that waits must not hold up others: requests are taken as they come, and wait for the thread. Those
        # that are not taken have no order among services, and DDS keeps ten for each.
        self._group = ReentrantCallbackGroup()
        self._thread = ThreadPoolExecutor(1, "wsss_services")

    def add(self, name: str, do: Callable[[], str]) -> None:
        """Create the service ``~/name``. ``do()`` is called on the thread and returns the message of the answer."""
        self._node.create_service(Trigger, f"~/{name}", partial(self._serve, do), callback_group=self._group)

    def after_all(self, do: Callable[[], T]) -> T:
        """Call ``do()`` on the thread after all work that was asked for, and wait for its result."""
        return self._thread.submit(do).result()

    async def _serve(self, do: Callable[[], str], _: Any, answer: Any) -> Any:
        node, done = self._node, Future()

        def resume(work: Work) -> None:
            done.set_result(work.result())
            if (executor := node.executor) is not None:
                executor.wake()  # else it goes on with the next message only

        if node.active:
            self.pending += 1
            self._thread.submit(self._attempt, do).add_done_callback(resume)
            answer.success, answer.message = await done
            self.pending -= 1
        else:
            answer.success, answer.message = False, f"{node.get_name()} is not active: {node.status()[1]}"
        self.message = answer.message
        log = node.get_logger()
        if answer.success:
            log.info(answer.message)
        else:
            log.warning(answer.message)
        return answer

    def _attempt(self, do: Callable[[], str]) -> tuple[bool, str]:
        try:
            return True, do()
        except BadInput as error:
            return False, str(error)
        except Exception as error:
            return False, f"internal error: {type(error).__name__}: {error}"
