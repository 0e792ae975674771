"""Segment an RGB-D stream: live topics by default, or a replay with bag:=scene.mcap. Arguments: --show-args."""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessExited, ProcessIO
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from wsss_ros import node_set
from wsss_ros.processes import failures


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch: all arguments of the node set, and its processes."""
    fields = node_set.Arguments.model_fields
    declared = [
        DeclareLaunchArgument(name, default_value=node_set.as_text(field.default), description=field.description)
        for name, field in fields.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list:
    """The processes, once the arguments have values."""
    given = {name: LaunchConfiguration(name).perform(context) for name in node_set.Arguments.model_fields}
    processes = node_set.processes(node_set.arguments(given))
    running = Running(processes)
    return [action for process in processes for action in running.actions(process)]


class Running:
    """The processes that have not ended, and the first failure. A failure ends the launch with status 1."""

    def __init__(self, processes: list[node_set.Process]) -> None:
        self.left = {process.name for process in processes}
        self.failed: tuple[str, int, failures.Tail] | None = None

    def actions(self, process: node_set.Process) -> list:
        """The node, and a handler that keeps the end of its output."""
        tail = failures.Tail()

        def on_output(event: ProcessIO) -> None:
            for line in event.text.decode(errors="replace").splitlines():
                tail.add(line)

        def on_exit(event: ProcessExited, context: LaunchContext) -> list:
            return self.ended(process, event.returncode, tail, context)

        started = node(process, on_exit)
        kept = OnProcessIO(target_action=started, on_stdout=on_output, on_stderr=on_output)
        return [RegisterEventHandler(kept), started]

    def ended(self, process: node_set.Process, status: int, tail: failures.Tail, context: LaunchContext) -> list:
        """What follows the end of a process. Raises RuntimeError after the last one if one has failed.

        launch itself turns an exception into status 1; raised at the end, it is the last line.
        """
        self.left.discard(process.name)
        failed = failures.has_failed(status, asked=context.is_shutdown)
        if failed and self.failed is None:
            self.failed = process.name, status, tail
        if self.failed and not self.left:
            name, status, tail = self.failed
            raise RuntimeError(failures.failure(name, status, tail.reason()))
        if failed and process.needed:
            return [Shutdown(reason=f"{process.name} has failed")]
        if process.ends_the_set:
            return [TimerAction(period=node_set.LINGER_S, actions=[Shutdown(reason="the replay has ended")])]
        return []


def node(process: node_set.Process, on_exit) -> Node:
    """A process of the set as a node of the launch file."""
    # Without its type a text is read as YAML and may become a number.
    parameters = {key: ParameterValue(value, value_type=type(value)) for key, value in process.parameters.items()}
    return Node(
        package=process.package,
        executable=process.executable,
        name=process.name,
        namespace=process.namespace,
        parameters=[*filter(None, [process.params_file]), parameters],
        remappings=list(process.remaps.items()),
        arguments=list(process.arguments),
        additional_env=node_set.environment(os.environ, process.profile),
        output="screen",
        sigterm_timeout=str(node_set.PATIENCE_S[0]),
        sigkill_timeout=str(node_set.PATIENCE_S[1]),
        on_exit=on_exit,
    )
