"""Shared fixtures. Shapes and types are checked at every call while the tests run (jaxtyping + beartype)."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from jaxtyping import install_import_hook

# An int is accepted where a float is expected (PEP 484).
install_import_hook("wsss_ros", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from support.paths import SHARED  # noqa: E402

from wsss_ros.files import lock  # noqa: E402
from wsss_ros.labels import LabelSpace, scannet20  # noqa: E402

TESTS = Path(__file__).parent
# Tests that train, that run rounds or that kill processes; tests that start nodes are found by their fixtures. A single
# test that takes more than about two seconds carries the marker itself.
SLOW = (
    "ablation/test_ablation.py",
    "bench/test_bench.py",
    "cli/test_demo",
    "nodes/test_node_bench.py",
    "online/test_online_kills.py",
    "online/test_real_rounds.py",
    "online/test_round_faults.py",
    "online/test_round_methods.py",
    "online/test_scene_store_crashes.py",
    "online/test_stored_scenes_offline.py",
    "rooms/test_generator.py",
    "tag_page/test_tag_page",
    "test_launch.py",
    "test_node_processes.py",
    "training/test_method_state.py",
    "training/test_older_runs.py",
    "training/test_resuming.py",
    "training/test_sharing.py",
    "training/test_sources.py",
    "training/test_training",
)
assert all(any(TESTS.glob(f"{start}*")) for start in SLOW), "SLOW names a test file that does not exist"
STARTS_NODES = {"ros_environment", "shared_ros_environment"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test-quick` leaves out."""
    for item in items:
        file = item.path.relative_to(TESTS).as_posix()
        if file.startswith(SLOW) or STARTS_NODES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


# The same examples each time, and no deadline: a busy machine is not a failure.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def labels() -> LabelSpace:
    return scannet20()


@pytest.fixture(scope="session")
def kitchen() -> Path:
    """100 real posed RGB-D frames, next to the checkout on machines that have them."""
    folder = SHARED / "kitchen"
    if not folder.is_dir():
        pytest.skip(f"no kitchen frames: {folder} is absent")
    return folder


@contextlib.contextmanager
def ros_domain() -> Iterator[dict[str, str]]:
    """The environment for ROS processes: a DDS domain of its own, traffic on this machine only.

    A file lock claims the domain until the end, so that tests of other runs take another one.
    """
    for domain in range(1, 101):
        try:
            claimed = lock(Path(f"/tmp/wsss_ros_domain_{domain}.lock"))
        except BlockingIOError:
            continue
        with claimed:
            yield {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        return
    pytest.fail("no free DDS domain among 1..100; are other test runs hanging?")


@pytest.fixture
def ros_environment() -> Iterator[dict[str, str]]:
    """A domain for the processes of one test."""
    with ros_domain() as environment:
        yield environment


@pytest.fixture(scope="module")
def shared_ros_environment() -> Iterator[dict[str, str]]:
    """A domain for processes that serve all tests of a file."""
    with ros_domain() as environment:
        yield environment


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Commands and nodes set the level and the handlers of the package's log; the next test must not see that."""
    log = logging.getLogger("wsss_ros")
    before = log.level, list(log.handlers), log.propagate
    yield
    level, log.handlers, log.propagate = before
    log.setLevel(level)
