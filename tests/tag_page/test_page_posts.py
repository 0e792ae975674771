"""Posts to the tag page over real sockets: what the robot gets, and what is refused."""

import json
import socket

import pytest
from support.tag_site import Site, post_head, refusal
from support.waiting import until

from wsss_ros.tag_page.posts import MAX_BYTES
from wsss_ros.types import BadInput


def test_tags_arrive_in_the_order_of_the_classes_and_once_each(site):
    posted = {"about": "image", "names": ["table", "Chair ", "table"], "stamp": "17.000000042"}
    status, _, body = site.post("/tags", posted)
    assert (status, json.loads(body)) == (200, {"ok": True, "message": "done"})
    assert site.calls == [("image", ("chair", "table"), "17.000000042")]
    site.post("/tags", {"about": "scene", "names": ["bed"]})
    assert site.calls[1] == ("scene", ("bed",), "")


def test_absent_classes_arrive_with_their_sign_and_no_class_has_two_meanings(site):
    site.post("/tags", {"about": "image", "names": ["-Sofa", "table", "-bed", "?desk"]})
    assert site.calls == [("image", ("table", "-bed", "-sofa", "?desk"), "")]
    answer = site.post("/tags", {"about": "image", "names": ["bed", "-bed"]})
    assert answer[0] == 400 and "'bed' is both present and absent" in refusal(answer) and len(site.calls) == 1


def test_commands_arrive_and_their_answers_come_back(site):
    site.answer = (False, "a round runs already")
    content = json.loads(site.post("/command", {"command": "train"})[2])
    assert content == {"ok": False, "message": "a round runs already"}
    site.answer = BadInput("no learner: start it")
    status, _, body = site.post("/command", {"command": "reset"})
    assert (status, json.loads(body)["message"]) == (400, "no learner: start it")
    assert site.calls == [("train",), ("reset",)]


@pytest.mark.parametrize(
    "path, posted, text",
    [
        ("/tags", {"about": "image", "names": ["chiar"]}, "'chiar' is not a class of 'scannet20'; the nearest is"),
        ("/tags", {"about": "image", "names": ["<b>chair</b>"]}, "'<b>chair</b>' is not a class of"),
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
        ("/tags", [1], "expected a JSON object, got a list"),
        ("/tags", b'{"about": "image"', "not JSON"),
        ("/tags", b"\xff\xfe", "not JSON"),
        ("/tags", b"[" * 60_000, "not JSON"),
        ("/tags", b"", "not JSON"),
        ("/command", {"command": "shutdown"}, "command"),
        ("/command", {"command": ["train"]}, "command"),
    ],
)
def test_a_wrong_post_is_answered_and_not_done(site, path, posted, text):
    status, _, body = answer = site.post(path, posted)
    assert status == 400 and text in refusal(answer) and len(body) < 2500
    assert site.calls == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "192.168.1.7", "", "a@localhost"]
)
def test_another_host_is_refused(site, host):
    for path in ("/", "/status", "/image.jpg"):
        answer = site.get(path, {"Host": host})
        assert answer[0] == 403 and "open the page as http://127.0.0.1" in refusal(answer)
    answer = site.post("/command", {"command": "reset"}, {"Host": host, "Origin": f"http://{host}"})
    assert answer[0] == 403 and site.calls == []


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
        assert site.server.address.is_open and socket.gethostname() in site.server.address.url
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
    assert answer[0] == 403 and "Origin" in refusal(answer)
    assert site.calls == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
def test_posts_that_a_form_could_make_are_refused(site, kind):
    answer = site.post("/command", {"command": "reset"}, {"Content-Type": kind})
    assert answer[0] == 415 and "application/json" in refusal(answer)
    assert site.calls == []


@pytest.mark.parametrize("length", [MAX_BYTES + 1, 10 * 2**20, 10**17])
def test_a_large_body_is_refused_without_being_read(site, length):
    """The answer comes although not one byte of the body has been sent."""
    answer = site.raw(post_head(site, f"Content-Length: {length}"))
    assert answer.startswith(b"HTTP/1.0 413") and b"expected at most 65536" in answer


def test_ten_megabytes_that_are_sent_all_the_same_do_no_harm(site):
    with site.client() as client:
        client.sendall(post_head(site, f"Content-Length: {10 * 2**20}"))
        with pytest.raises(ConnectionError):  # the other side has hung up
            until(lambda: client.sendall(bytes(65536)), "the server never hung up")
    assert site.get("/")[0] == 200 and site.calls == []


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
    assert site.raw(post_head(site, *lines)).startswith(b"HTTP/1.0 411")


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
