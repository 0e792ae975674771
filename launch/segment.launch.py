"""Segment an RGB-D stream: live topics by default, or a replay with bag:=scene.mcap. Arguments: --show-args."""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown, TimerAction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from wsss_ros import node_set


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch: all arguments of the node set, and its processes."""
    fields = node_set.Arguments.model_fields
    declared = [
        DeclareLaunchArgument(name, default_value=node_set.as_text(field.default), description=field.description)
        for name, field in fields.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list:
    """The environment and the processes, once the arguments have values."""
    given = {name: LaunchConfiguration(name).perform(context) for name in node_set.Arguments.model_fields}
    variables = [SetEnvironmentVariable(*pair) for pair in node_set.environment(os.environ).items()]
    return [*variables, *map(node, node_set.processes(node_set.arguments(given)))]


def node(process: node_set.Process) -> Node:
    """A process of the set as a node of the launch file."""
    ending = [TimerAction(period=node_set.LINGER_S, actions=[Shutdown(reason="the replay has ended")])]
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
        output="screen",
        sigterm_timeout=str(node_set.PATIENCE_S[0]),
        sigkill_timeout=str(node_set.PATIENCE_S[1]),
        on_exit=ending if process.ends_the_set else None,
    )
