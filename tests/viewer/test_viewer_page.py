"""The page of the viewer as a browser gets it, and who may get it."""

import socket
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("viser", reason="the extra [view] is not installed")

from support.viewer_client import ViewerClient  # noqa: E402
from support.waiting import until  # noqa: E402
from test_shown_points import some_points  # noqa: E402
from viser import _messages  # noqa: E402

from wsss_ros.labels import scannet20  # noqa: E402
from wsss_ros.types import BadInput, Camera  # noqa: E402
from wsss_ros.viewer.points import ShownPoints  # noqa: E402
from wsss_ros.viewer.stage import FAR_M, ShownView, Stage  # noqa: E402

SPACE = scannet20()


@pytest.fixture
def stage():
    made = Stage("127.0.0.1", 0, SPACE, max_points=1000)
    yield made
    made.close()


@pytest.fixture
def client(stage):
    with ViewerClient(stage.address.url) as made:
        until(lambda: stage.watchers == 1, "the client was never counted")
        yield made


def view_at(x: float) -> ShownView:
    pose = np.eye(4)
    pose[0, 3] = x
    return ShownView(np.full((48, 64, 3), 90, np.uint8), Camera(60, 48, 31.5, 23.5, 64, 48), pose, 10**9)


def test_a_cloud_arrives_with_its_colours(stage, client):
    points = some_points()
    stage.show_cloud(points)
    xyz, colors = client.cloud(4)
    assert np.array_equal(xyz, points.xyz)
    assert colors[0].tolist() == [*SPACE.colors[2]]


def test_switches_change_what_is_drawn(stage, client):
    points = some_points()
    stage.show_cloud(points)
    client.cloud(4)
    client.set("colour", "rgb")
    until(lambda: client.nodes["/cloud"]["colors"].tolist() == points.rgb.tolist(), "the colours never changed")
    client.set(f"{SPACE.names[2]} · 50 % · 2", True)  # a click
    assert client.cloud(2)[0].tolist() == points.xyz[[1, 2]].tolist()
    client.set("hide above", 1.5)
    assert client.cloud(1)[0].tolist() == points.xyz[[1]].tolist()


def test_the_classes_of_another_cloud_replace_those_before(stage, client):
    points = some_points()
    stage.show_cloud(points)
    client.control(f"{SPACE.names[2]} · 50 %")
    names = tuple(f"thing {n}" for n in range(256)[: len(SPACE)])
    other = replace(SPACE, name="other", names=names, colors=SPACE.colors[::-1], synonyms=(), ignored=())
    stage.show_cloud(points, space=other)
    client.control("thing 2 · 50 %")
    assert not any(str(each.get("label")).startswith(SPACE.names[2]) for each in client.controls.values())
    until(
        lambda: client.nodes["/cloud"]["colors"][0].tolist() == [*other.colors[2]], "the colours of the classes before"
    )
    client.set("thing 2 · 50 %", True)  # a click
    assert len(client.cloud(2)[0]) == 2


def test_a_new_browser_gets_what_is_there(stage):
    stage.show_cloud(some_points())
    stage.show_cloud(some_points().rows(slice(2)))
    with ViewerClient(stage.address.url) as client:
        assert len(client.cloud(2)[0]) == 2


def test_the_camera_has_its_pose_its_field_of_view_and_the_path(stage, client):
    for x in (0.0, 0.5, 1.0):
        stage.add_pose(view_at(x).world_from_camera)
    stage.show_view(view_at(1.0))
    stage.show_path()
    camera = client.node("/camera")
    assert camera["fov"] == pytest.approx(2 * np.arctan(0.5)) and camera["aspect"] == pytest.approx(64 / 48)
    assert client.node("/path")["points"].size == 2 * 2 * 3
    stage.clear_path()
    until(lambda: "/path" not in client.nodes, "the path was never removed")


def test_more_points_than_a_browser_can_take_are_thinned(stage, client):
    many = ShownPoints(np.random.default_rng(0).random((5000, 3), np.float32), np.zeros(5000, np.uint8))
    stage.show_cloud(many)
    client.cloud(1000)
    assert client.control("wall · ")["label"] == "wall · 100 % · 5,000", "counts are those of all points"


def test_a_cloud_far_from_the_origin_is_drawn_near_it(stage, client):
    at = (500_000.0, 4_000_000.0, 120.0)
    stage.show_cloud(ShownPoints(some_points().xyz, some_points().labels, origin=at))
    xyz, _ = client.cloud(4)
    assert np.abs(xyz).max() < FAR_M
    np.testing.assert_allclose(xyz - xyz[0], some_points().xyz, atol=1e-6)
    near = view_at(at[0])
    near.world_from_camera[:3, 3] = at
    stage.show_view(near)
    client.node("/camera")
    np.testing.assert_allclose(stage._camera.position, xyz[0], atol=1e-6)


def test_a_taken_port_is_refused_and_not_replaced():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"cannot serve on 127.0.0.1, port {port}: .*give another"):
            Stage("127.0.0.1", port, SPACE)
    with pytest.raises(BadInput, match="cannot serve on 192.0.2.1"):
        Stage("192.0.2.1", 0, SPACE)


def test_nobody_else_reaches_it(stage):
    assert not stage.address.is_open
    with ViewerClient(stage.address.url, origin="http://elsewhere.example") as client:
        until(client.closed.is_set, "a page of another site was served")
        assert stage.watchers == 0 and client.nodes == {}
    with ViewerClient(stage.address.url, origin=stage.address.url.rstrip("/")) as client:
        until(lambda: stage.watchers == 1, "the own page was refused")


def test_it_never_opens_a_tunnel_to_the_internet(stage):
    handlers = stage._server._websock_server._incoming_handlers
    assert not {_messages.ShareUrlRequest, _messages.ShareUrlDisconnect} & set(handlers)
