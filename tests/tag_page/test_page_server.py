"""The page's server over real sockets, without ROS: the files it serves, slow clients, many clients, its end."""

import contextlib
import json
import re
import socket
import threading

import pytest
from support.tag_site import Site, post_head
from support.waiting import until

from wsss_ros.tag_page import server
from wsss_ros.tag_page.handler import FILES, FOLDER, PageHandler, Robot
from wsss_ros.tag_page.server import MAX_CLIENTS, PageServer
from wsss_ros.types import BadInput

# --- what is served ---


@pytest.mark.parametrize("path", FILES)
def test_the_files_of_the_page(site, path):
    status, headers, body = site.get(path)
    name, kind = FILES[path]
    assert (status, headers["Content-Type"]) == (200, kind)
    assert body == (FOLDER / name).read_bytes() and body
    assert "default-src 'none'" in headers["Content-Security-Policy"] and "unsafe" not in str(headers)
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "Server" not in headers and "Access-Control-Allow-Origin" not in headers


def test_the_page_needs_nothing_from_outside_and_has_no_inline_script():
    texts = {name: (FOLDER / name).read_text() for name, _ in FILES.values()}
    for name, text in texts.items():
        outside = set(re.findall(r"https?://[^\s\"'<>)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not outside, name
        if name.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), name
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", texts["page.html"])


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page.html",
        "/../server.py",
        "/..%2fserver.py",
        "/%2e%2e/config.py",
        "/page/../../setup.py",
        "//etc/passwd",
        "/page.js/",
        "/page.css%00.html",
        "/\\..\\config.py",
        "file:///etc/passwd",
        "http://127.0.0.1/",
        "*",
        "/" + "a" * 60_000,
    ],
)
def test_no_path_leads_anywhere_else(site, path):
    answer = site.raw(f"GET {path} HTTP/1.1\r\nHost: {site.own}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 404"), answer[:200]
    assert b"there is no such page" in answer and b"import " not in answer


def test_the_status_is_plain_json_whatever_the_robot_reports(site):
    site.state = {"learner": {"loss": float("nan"), "scores": [float("inf"), 0.5], "text": "</script>\ud800"}}
    status, headers, body = site.get("/status")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    content = json.loads(body, parse_constant=refuse)
    assert content == {"learner": {"loss": None, "scores": [None, 0.5], "text": "</script>\ud800"}}


def test_an_internal_error_is_reported_and_ends_nothing(site):
    site.page.robot = Robot(lambda: 1 / 0, site._note, site._note)
    status, _, body = site.get("/status")
    assert status == 500 and "ZeroDivisionError" in json.loads(body)["message"]
    assert site.get("/")[0] == 200


# --- clients that are slow, or many ---


def test_a_silent_client_is_dropped_and_others_are_served_meanwhile(site, monkeypatch):
    monkeypatch.setattr(PageHandler, "timeout", 0.5)
    with site.client() as silent:
        silent.sendall(post_head(site, "Content-Length: 10") + b"{")
        assert site.get("/")[0] == 200
        assert silent.recv(100) == b"", "hung up on"
    assert site.calls == []


def test_a_client_that_sends_one_line_at_a_time_is_dropped_in_the_end(site, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_S", 1.0)
    with site.client() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            until(lambda: slow.sendall(b"X: y\r\n"), "the server never hung up")


def test_a_client_that_does_not_take_its_answer_is_dropped(site, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_S", 1.0)
    site.state = {"text": "x" * 20_000_000}  # more than the buffers of a socket hold
    with site.client() as client:
        client.sendall(f"GET /status HTTP/1.1\r\nHost: {site.own}\r\n\r\n".encode())
        until(lambda: site.server._until, "the client never came")
        until(lambda: not site.server._until, "the server waits for the client")


def test_more_clients_than_there_is_room_for_are_refused(site):
    before = threading.active_count()
    with contextlib.ExitStack() as clients:
        for _ in range(MAX_CLIENTS):
            clients.enter_context(site.client())
        until(lambda: len(site.server._until) == MAX_CLIENTS)
        late = [clients.enter_context(site.client()) for _ in range(20)]
        answers = [client.recv(100) for client in late]
        assert all(answer.startswith(b"HTTP/1.0 503") for answer in answers)
        assert threading.active_count() <= before + MAX_CLIENTS
    until(lambda: not site.server._until)
    assert site.get("/")[0] == 200


# --- start and end ---


def test_a_taken_port_is_named(site):
    with pytest.raises(BadInput, match=f"port {site.port}: Address already in use; give another"):
        PageServer("127.0.0.1", site.port, site.page)
    with pytest.raises(BadInput, match="cannot serve on 203.0.113.7"):
        PageServer("203.0.113.7", 0, site.page)


def test_a_closed_server_serves_nothing_and_leaves_no_thread(labels):
    before = threading.active_count()
    site = Site(labels)
    with site.client() as waiting:
        until(lambda: site.server._until)
        site.server.close()
        assert waiting.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.port), 1)
    until(lambda: threading.active_count() == before, "a thread is left")
