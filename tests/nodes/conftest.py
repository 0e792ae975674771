"""Fixtures of the tests that start nodes as processes."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def probe(shared_ros_environment):
    """A node of the test process, for all tests of a file."""
    from support.ros_probe import Probe

    made = Probe(shared_ros_environment)
    yield made
    made.close()


@pytest.fixture(scope="module")
def weights(tmp_path_factory, labels) -> dict[str, Path]:
    """A checkpoint of each kind."""
    from support.tiny_networks import CONFIGS, save_network

    folder = tmp_path_factory.mktemp("weights")
    files = {kind: folder / f"{kind}.safetensors" for kind in CONFIGS}
    for kind, path in files.items():
        save_network(path, kind, labels, 0)
    return files


@pytest.fixture(scope="module")
def started(shared_ros_environment, probe, tmp_path_factory):
    """Starts nodes and waits until they are active; all are ended after the last test of the file."""
    from support.ros_probe import NodeProcess

    logs, running = tmp_path_factory.mktemp("logs"), []

    def start(name: str, **parameters) -> NodeProcess:
        log = logs / f"{name}{len(running)}.log"
        running.append(NodeProcess(name, shared_ros_environment, log, **parameters))
        return probe.active(running[-1])

    yield start
    for node in running:
        node.end()


@pytest.fixture
def built_mapper(shared_ros_environment):
    """Builds semantic mappers in this process, which are active; nobody spins them."""
    import rclpy
    from rclpy.parameter import Parameter

    from wsss_ros.nodes.semantic_mapper import SemanticMapperNode

    context, nodes = rclpy.Context(), []
    rclpy.init(context=context, domain_id=int(shared_ros_environment["ROS_DOMAIN_ID"]))

    def build(**parameters) -> SemanticMapperNode:
        given = [Parameter(name, value=value) for name, value in {"max_voxels": 20_000, **parameters}.items()]
        nodes.append(SemanticMapperNode(context=context, parameter_overrides=given))
        assert nodes[-1].start()
        return nodes[-1]

    yield build
    for node in nodes:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown(context=context)
