"""For each test a server of the page, or the one node of a file, with the tags it sends; a learner for one test."""

import pytest
from support.tag_site import Site
from support.waiting import until


@pytest.fixture
def site(labels):
    made = Site(labels)
    yield made
    made.server.close()


@pytest.fixture(scope="module")
def setting(shared_ros_environment, tmp_path_factory):
    from support.tag_page_node import RELIABLE, String, running  # needs ROS, which not all tests here do

    with running(shared_ros_environment, tmp_path_factory.mktemp("page"), sensor_timeout_s=0.5) as (page, probe):
        topics = {about: page.node.topic(f"tags/{about}") for about in ("image", "scene")}
        received = {about: probe.collect(String, topic, RELIABLE) for about, topic in topics.items()}
        until(lambda: page.status()["listeners"] == {"image": 1, "scene": 1})
        yield page, probe, received


@pytest.fixture
def page(setting):
    return setting[0]


@pytest.fixture
def probe(setting):
    return setting[1]


@pytest.fixture
def received(setting):
    """The tags that arrive in this test."""
    for messages in setting[2].values():
        messages.clear()
    return setting[2]


@pytest.fixture
def learner(setting):
    from support.tag_page_node import Learner

    made = Learner(setting[1], setting[0])
    until(lambda: setting[0].status()["learner_there"], "the learner was never seen")
    yield made
    made.close()
    until(lambda: not setting[0].status()["learner_there"], "the learner never left")
