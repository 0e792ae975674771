"""The page's HTTP side over real sockets, without ROS: what is answered, and all that is refused."""

import http.client
import json
import re
import socket
import threading
import time

import numpy as np
import pytest

from wsss_ros.scenes.images import decode_rgb
from wsss_ros.tag_page import live_view
from wsss_ros.tag_page import server as page_server
from wsss_ros.tag_page.live_view import LiveView
from wsss_ros.tag_page.server import MOST_BYTES, MOST_CLIENTS, PageServer, Robot
from wsss_ros.types import BadInput


class Site:
    """A server with a robot that only writes down what it is told."""

    def __init__(self, labels, host: str = "127.0.0.1") -> None:
        self.view, self.told, self.state = LiveView(), [], {"learner": None}
        self.answer: tuple[bool, str] | Exception = (True, "done")
        robot = Robot(lambda: self.state, self._tell, self._tell)
        self.server = PageServer(host, 0, labels, self.view, robot)
        self.server.start()
        self.port, self.own = self.server.port, f"127.0.0.1:{self.server.port}"

    def _tell(self, *what) -> tuple[bool, str]:
        self.told.append(what)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def get(self, path: str, headers: dict | None = None):
        return self.ask("GET", path, None, headers or {})

    def post(self, path: str, value, headers: dict | None = None):
        """As the page itself posts, but for the headers given; None leaves one out."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        own = {"Origin": f"http://{self.own}", "Content-Type": "application/json"}
        kept = {name: text for name, text in (own | (headers or {})).items() if text is not None}
        return self.ask("POST", path, body, kept)

    def ask(self, method: str, path: str, body: bytes | None, headers: dict):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def raw(self, data: bytes, timeout_s: float = 10) -> bytes:
        """All that is answered to exactly these bytes; nothing more is sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as client:
            client.sendall(data)
            return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def site(labels):
    made = Site(labels)
    yield made
    made.server.close()


def message(answer) -> str:
    told = json.loads(answer[2])
    assert told["ok"] is False
    return told["message"]


# --- what is served ---


@pytest.mark.parametrize("path", page_server.FILES)
def test_the_files_of_the_page(site, path):
    status, headers, body = site.get(path)
    name, kind = page_server.FILES[path]
    assert (status, headers["Content-Type"]) == (200, kind)
    assert body == (page_server.FOLDER / name).read_bytes() and body
    assert "default-src 'none'" in headers["Content-Security-Policy"] and "unsafe" not in str(headers)
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "Server" not in headers and "Access-Control-Allow-Origin" not in headers


def test_the_page_needs_nothing_from_outside_and_has_no_inline_script():
    texts = {name: (page_server.FOLDER / name).read_text() for name, _ in page_server.FILES.values()}
    for name, text in texts.items():
        outside = set(re.findall(r"https?://[^\s\"'<>)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not outside, name
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", texts["page.html"])
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", texts["page.js"])


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page.html",
        "/../page_server.py",
        "/..%2fpage_server.py",
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


def test_the_status_is_plain_json_whatever_the_robot_says(site):
    site.state = {"learner": {"loss": float("nan"), "scores": [float("inf"), 0.5], "text": "</script>\ud800"}}
    status, headers, body = site.get("/status")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    told = json.loads(body, parse_constant=refuse)
    assert told == {"learner": {"loss": None, "scores": [None, 0.5], "text": "</script>\ud800"}}


def test_a_fault_of_ours_is_told_and_ends_nothing(site):
    site.server.robot = Robot(lambda: 1 / 0, site._tell, site._tell)
    status, _, body = site.get("/status")
    assert status == 500 and "ZeroDivisionError" in json.loads(body)["message"]
    assert site.get("/")[0] == 200


# --- pictures ---


def picture(value: int, size=(48, 64)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def test_a_picture_comes_with_its_stamp_and_age(site):
    assert site.get("/image.jpg")[0] == 204
    site.view.put("overlay", 12 * 10**9 + 5, lambda: picture(200))
    status, headers, body = site.get("/image.jpg?source=overlay")
    assert (status, headers["X-Stamp"], headers["X-Source"]) == (200, "12.000000005", "overlay")
    assert 0 <= float(headers["X-Age"]) < 5
    assert abs(int(decode_rgb(body, "x")[3, 3, 0]) - 200) < 3
    again, _, nothing = site.get("/image.jpg?source=overlay", {"If-None-Match": headers["ETag"]})
    assert (again, nothing) == (304, b"")
    site.view.put("overlay", 12 * 10**9 + 5, lambda: picture(100))
    assert site.get("/image.jpg?source=overlay", {"If-None-Match": headers["ETag"]})[0] == 200, "a new picture"


def test_a_picture_is_encoded_once_and_only_when_asked_for(site):
    made = []

    def convert(value):
        made.append(value)
        return picture(value)

    for value in range(5):
        site.view.put("color", value, lambda value=value: convert(value))
    assert made == []
    askers = [threading.Thread(target=site.get, args=("/image.jpg?source=color",)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert made == [4]


def test_a_picture_that_cannot_be_read_is_told(site):
    def convert():
        raise BadInput("color encoding: got 'yuv422'")

    site.view.put("color", 1, convert)
    for _ in range(2):
        answer = site.get("/image.jpg?source=color")
        assert answer[0] == 400 and "yuv422" in message(answer)
    assert "wanted one of overlay, color" in message(site.get("/image.jpg?source=../x"))


def test_large_pictures_are_thinned(site):
    site.view.put("color", 1, lambda: picture(90, (1500, 2600)))
    assert decode_rgb(site.get("/image.jpg?source=color")[2], "x").shape == (500, 867, 3)


def test_the_other_source_steps_in_and_only_what_is_looked_at_is_wanted(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live_view.time, "monotonic", lambda: now[0])
    view = LiveView()
    assert view.wanted() == set() and view.shot("overlay") is None
    assert view.wanted() == {"overlay", "color"}, "the overlay does not come yet"
    view.put("color", 1, lambda: picture(1))
    assert view.shot("overlay").source == "color"
    view.put("overlay", 2, lambda: picture(2))
    now[0] += 1.0
    assert view.shot("overlay").source == "overlay" and view.wanted() == {"overlay"}
    now[0] += 1.5
    view.put("color", 3, lambda: picture(3))
    assert view.shot("overlay").source == "color" and view.wanted() == {"overlay", "color"}
    now[0] += live_view.LOOKING_S + 1
    assert view.wanted() == set()
    assert view.ages_s() == {"overlay": 13.5, "color": 11.0}


# --- posts ---


def test_tags_arrive_in_the_order_of_the_classes_and_once_each(site):
    posted = {"about": "image", "names": ["table", "Chair ", "table"], "stamp": "17.000000042"}
    status, _, body = site.post("/tags", posted)
    assert (status, json.loads(body)) == (200, {"ok": True, "message": "done"})
    assert site.told == [("image", ("chair", "table"), "17.000000042")]
    site.post("/tags", {"about": "scene", "names": ["bed"]})
    assert site.told[1] == ("scene", ("bed",), "")


def test_commands_arrive_and_their_answers_come_back(site):
    site.answer = (False, "a round runs already")
    told = json.loads(site.post("/command", {"command": "train"})[2])
    assert told == {"ok": False, "message": "a round runs already"}
    site.answer = BadInput("no learner: start it")
    status, _, body = site.post("/command", {"command": "reset"})
    assert (status, json.loads(body)["message"]) == (400, "no learner: start it")
    assert site.told == [("train",), ("reset",)]


@pytest.mark.parametrize(
    "path, posted, told",
    [
        ("/tags", {"about": "image", "names": ["chiar"]}, "'chiar' is no class of 'scannet20'; the nearest is 'chair'"),
        ("/tags", {"about": "image", "names": ["<b>chair</b>"]}, "'<b>chair</b>' is no class of"),
        ("/tags", {"about": "image", "names": ["chair\ud800"]}, "unicode"),
        ("/tags", {"about": "image", "names": []}, "names"),
        ("/tags", {"about": "image", "names": ["bed"] * 1000}, "names"),
        ("/tags", {"about": "image", "names": ["x" * 50_000]}, "at most 100 characters"),
        ("/tags", {"about": "image", "names": "bed"}, "names"),
        ("/tags", {"about": "image", "names": [["bed"]]}, "names"),
        ("/tags", {"about": "world", "names": ["bed"]}, "about"),
        ("/tags", {"about": "image", "names": ["bed"], "stamp": "now"}, "stamp"),
        ("/tags", {"about": "image", "names": ["bed"], "stamp": "1.000000000 @2"}, "stamp"),
        ("/tags", {"about": "image", "names": ["bed"], "stmap": ""}, "the nearest is 'stamp'"),
        ("/tags", {}, "about: field required"),
        ("/tags", [1], "wanted a JSON object, got a list"),
        ("/tags", b'{"about": "image"', "not JSON"),
        ("/tags", b"\xff\xfe", "not JSON"),
        ("/tags", b"[" * 60_000, "not JSON"),
        ("/tags", b"", "not JSON"),
        ("/command", {"command": "shutdown"}, "command"),
        ("/command", {"command": ["train"]}, "command"),
    ],
)
def test_what_is_posted_wrongly_is_told_and_not_done(site, path, posted, told):
    status, _, body = answer = site.post(path, posted)
    assert status == 400 and told in message(answer) and len(body) < 2500
    assert site.told == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "192.168.1.7", "", "a@localhost"]
)
def test_another_host_is_refused(site, host):
    for path in ("/", "/status", "/image.jpg"):
        answer = site.get(path, {"Host": host})
        assert answer[0] == 403 and "open the page as http://127.0.0.1" in message(answer)
    answer = site.post("/command", {"command": "reset"}, {"Host": host, "Origin": f"http://{host}"})
    assert answer[0] == 403 and site.told == []


def test_no_host_and_two_hosts_are_refused(site):
    assert site.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 403")
    two = f"GET / HTTP/1.1\r\nHost: {site.own}\r\nHost: evil.example\r\n\r\n"
    assert site.raw(two.encode()).startswith(b"HTTP/1.0 403")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:8080"])
def test_the_names_of_this_machine_are_its_own_also_through_a_tunnel(site, host):
    assert site.get("/", {"Host": host})[0] == 200
    assert site.post("/command", {"command": "train"}, {"Host": host, "Origin": f"http://{host.lower()}"})[0] == 200


def test_served_to_all_an_address_is_its_own_and_a_foreign_name_is_not(labels):
    site = Site(labels, "0.0.0.0")
    try:
        assert site.server.is_open and socket.gethostname() in site.server.url
        own = socket.gethostname()
        for host in ("192.168.1.7:8080", "[fe80::1]", own, f"{own}.local", "localhost"):
            assert site.get("/", {"Host": host})[0] == 200, host
        assert site.get("/", {"Host": "evil.example"})[0] == 403
    finally:
        site.server.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://{own}", "http://127.0.0.1:1", None])
def test_posts_of_another_origin_are_refused(site, origin):
    origin = origin and origin.replace("{own}", site.own)
    answer = site.post("/command", {"command": "reset"}, {"Origin": origin})
    assert answer[0] == 403 and "Origin" in message(answer)
    assert site.told == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
def test_posts_that_a_form_could_make_are_refused(site, kind):
    answer = site.post("/command", {"command": "reset"}, {"Content-Type": kind})
    assert answer[0] == 415 and "application/json" in message(answer)
    assert site.told == []


def head(site, *more: str) -> bytes:
    lines = ["POST /tags HTTP/1.1", f"Host: {site.own}", f"Origin: http://{site.own}", "Content-Type: application/json"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


@pytest.mark.parametrize("length", [MOST_BYTES + 1, 10 * 2**20, 10**17])
def test_a_large_body_is_refused_without_being_read(site, length):
    """The answer comes although not one byte of the body has been sent."""
    answer = site.raw(head(site, f"Content-Length: {length}"), timeout_s=3)
    assert answer.startswith(b"HTTP/1.0 413") and b"wanted at most 65536" in answer


def test_ten_megabytes_that_are_sent_all_the_same_do_no_harm(site):
    with socket.create_connection(("127.0.0.1", site.port), 10) as client:
        client.sendall(head(site, f"Content-Length: {10 * 2**20}"))
        with pytest.raises(OSError):  # the other side has hung up
            for _ in range(160):
                client.sendall(bytes(65536))
                time.sleep(0.01)
    assert site.get("/")[0] == 200 and site.told == []


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Content-Length: -1",),
        ("Content-Length: ten",),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Transfer-Encoding: chunked",),
    ],
)
def test_a_body_of_no_clear_length_is_refused(site, lines):
    assert site.raw(head(site, *lines), timeout_s=3).startswith(b"HTTP/1.0 411")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "get"])
def test_other_methods_are_not_known(site, method):
    answer = site.raw(f"{method} / HTTP/1.1\r\nHost: {site.own}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 501") and b"Access-Control" not in answer


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\r\n\r\n"]
)
def test_what_is_no_request_ends_the_connection_and_nothing_else(site, data):
    assert b"200" not in site.raw(data)[:20]
    assert site.get("/")[0] == 200


# --- clients that are slow, or many ---


def test_a_silent_client_is_left_and_others_are_served_meanwhile(site, monkeypatch):
    monkeypatch.setattr(page_server._Handler, "timeout", 0.5)
    with socket.create_connection(("127.0.0.1", site.port), 10) as silent:
        silent.sendall(head(site, "Content-Length: 10") + b"{")
        assert site.get("/")[0] == 200
        assert silent.recv(100) == b"", "hung up on"
    assert site.told == []


def test_a_client_that_drips_is_hung_up_on_in_the_end(labels, monkeypatch):
    monkeypatch.setattr(page_server, "REQUEST_S", 1.0)
    site, began = Site(labels), time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", site.port), 10) as slow, pytest.raises(OSError):
            slow.sendall(b"GET / HTTP/1.1\r\n")
            while time.monotonic() - began < 10:
                slow.sendall(b"X: y\r\n")
                time.sleep(0.05)
        assert time.monotonic() - began < 5
    finally:
        site.server.close()


def test_a_client_that_does_not_take_its_answer_is_left(labels, monkeypatch):
    monkeypatch.setattr(page_server, "REQUEST_S", 1.0)
    site = Site(labels)
    try:
        site.state = {"text": "x" * 20_000_000}  # more than the buffers of a socket hold
        with socket.create_connection(("127.0.0.1", site.port), 10) as client:
            client.sendall(f"GET /status HTTP/1.1\r\nHost: {site.own}\r\n\r\n".encode())
            end = time.monotonic() + 8
            time.sleep(0.3)
            assert len(site.server._until) == 1
            while site.server._until and time.monotonic() < end:
                time.sleep(0.05)
            assert not site.server._until
    finally:
        site.server.close()


def test_more_clients_than_there_is_room_for_are_turned_away(site, monkeypatch):
    before = threading.active_count()
    crowd = [socket.create_connection(("127.0.0.1", site.port), 10) for _ in range(MOST_CLIENTS)]
    try:
        end = time.monotonic() + 5
        while len(site.server._until) < MOST_CLIENTS and time.monotonic() < end:
            time.sleep(0.01)
        late = [socket.create_connection(("127.0.0.1", site.port), 10) for _ in range(20)]
        answers = [client.recv(100) for client in late]
        assert all(answer.startswith(b"HTTP/1.0 503") for answer in answers)
        assert threading.active_count() <= before + MOST_CLIENTS
    finally:
        for client in [*crowd, *late]:
            client.close()
    end = time.monotonic() + 5
    while site.server._until and time.monotonic() < end:
        time.sleep(0.01)
    assert site.get("/")[0] == 200


def test_a_taken_port_is_named(site, labels):
    with pytest.raises(BadInput, match=f"port {site.port}: Address already in use; give another"):
        PageServer("127.0.0.1", site.port, labels, LiveView(), site.server.robot)
    with pytest.raises(BadInput, match="cannot serve on 203.0.113.7"):
        PageServer("203.0.113.7", 0, labels, LiveView(), site.server.robot)


def test_closed_it_serves_no_more_and_leaves_no_thread(labels):
    before = threading.active_count()
    site = Site(labels)
    waiting = socket.create_connection(("127.0.0.1", site.port), 10)
    time.sleep(0.2)
    site.server.close()
    assert waiting.recv(10) == b""
    waiting.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.port), 1)
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
