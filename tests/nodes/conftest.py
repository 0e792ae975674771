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
