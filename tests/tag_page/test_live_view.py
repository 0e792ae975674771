"""Pictures of the tag page: their stamps, when they are encoded, and which source is shown."""

import threading

from support.tag_site import picture, refusal

from wsss_ros.scenes.images import decode_rgb
from wsss_ros.tag_page import live_view
from wsss_ros.tag_page.live_view import LiveView
from wsss_ros.types import BadInput


def test_a_picture_comes_with_its_stamp_and_age(site):
    assert site.get("/image.jpg")[0] == 204
    site.view.put("overlay", 12 * 10**9 + 5, lambda: picture(200))
    status, headers, body = site.get("/image.jpg?source=overlay")
    assert (status, headers["X-Stamp"], headers["X-Source"]) == (200, "12.000000005", "overlay")
    assert float(headers["X-Age"]) >= 0
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


def test_a_picture_that_cannot_be_read_is_reported(site):
    def convert():
        raise BadInput("color encoding: got 'yuv422'")

    site.view.put("color", 1, convert)
    for _ in range(2):
        answer = site.get("/image.jpg?source=color")
        assert answer[0] == 400 and "yuv422" in refusal(answer)
    assert "expected one of overlay, color" in refusal(site.get("/image.jpg?source=../x"))


def test_large_pictures_are_reduced(site):
    site.view.put("color", 1, lambda: picture(90, (1500, 2600)))
    assert decode_rgb(site.get("/image.jpg?source=color")[2], "x").shape == (500, 867, 3)


def test_the_other_source_steps_in_and_only_what_is_looked_at_is_needed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live_view.time, "monotonic", lambda: now[0])
    view = LiveView()
    assert view.needed() == set() and view.shot("overlay") is None
    assert view.needed() == {"overlay", "color"}, "the overlay does not come yet"
    view.put("color", 1, lambda: picture(1))
    assert view.shot("overlay").source == "color"
    view.put("overlay", 2, lambda: picture(2))
    now[0] += 1.0
    assert view.shot("overlay").source == "overlay" and view.needed() == {"overlay"}
    now[0] += 1.5
    view.put("color", 3, lambda: picture(3))
    assert view.shot("overlay").source == "color" and view.needed() == {"overlay", "color"}
    now[0] += live_view.LOOKING_S + 1
    assert view.needed() == set()
    assert view.ages_s() == {"overlay": 13.5, "color": 11.0}
