"""The tag page in a real Chromium."""

import re
import time

import pytest
import yaml
from support import browser
from support.browser import Browser
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from std_msgs.msg import String  # noqa: E402
from support.ros_probe import Probe  # noqa: E402
from support.tag_page_node import BEST_EFFORT, RELIABLE, Learner, Page, image, running  # noqa: E402

from wsss_ros.labels import scannet20  # noqa: E402

HOSTILE = "<img src=x onerror=hacked=1>"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if why := browser.missing():
        pytest.skip(why)
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def opened(window, page, received, learner):
    """The page, open at a desk, with a learner; the tags it sends."""
    window.size(1280, 800)
    window.go(page.url)
    window.wait("return document.querySelectorAll('#classes button').length == 20")
    window.wait("return document.querySelector('#state').innerText == 'collecting'")
    yield received
    window.go("about:blank")
    assert window.errors() == []


def show(window: Browser, page: Page, probe: Probe, stamp_ns: int) -> None:
    topic = page.node.topic("semantic_overlay/image_raw")
    stamp = f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"

    def shown():
        probe.publish_without_waiting(topic, image(stamp_ns), BEST_EFFORT)
        time.sleep(0.1)
        return window.run("return shown.stamp") == stamp

    until(shown, "the picture never came to the screen")


def chosen(window: Browser) -> list[str]:
    return window.run("return [...document.querySelectorAll('#classes [aria-pressed=true]')].map(b => b.dataset.name)")


def test_keys_and_clicks_choose_and_the_tags_carry_the_stamp_of_what_was_seen(window, page, probe, opened):
    show(window, page, probe, 50 * 10**9 + 3)
    window.press("1", "5")
    assert chosen(window) == ["wall", "chair"] and "held" in window.text("#age")
    window.click("[data-name=sink]")
    window.press("1", "1")
    assert chosen(window) == ["chair", "sink"]
    topic = page.node.topic("semantic_overlay/image_raw")
    for later in range(10):  # the robot drives on; the picture on the screen is held
        probe.publish_without_waiting(topic, image(60 * 10**9 + later), BEST_EFFORT)
        time.sleep(0.05)
    assert "Send 2 tags for this image" in window.text("#send")
    window.press("enter")
    until(lambda: opened["image"], "no tags arrived")
    assert [message.data for message in opened["image"]] == ["@50.000000003 chair, sink"]
    window.wait("return !document.querySelector('#toast').hidden")
    assert window.text("#toast") == "sent for the image: chair, sink" and chosen(window) == []
    show(window, page, probe, 70 * 10**9)
    assert "held" not in window.text("#age") and "live" in window.text("#age")


def absent(window: Browser) -> list[str]:
    return window.run("return [...document.querySelectorAll('#classes .absent')].map(b => b.dataset.name)")


def test_a_second_press_says_that_a_class_is_not_there(window, page, probe, learner, opened):
    show(window, page, probe, 55 * 10**9)
    window.click("[data-name=sofa]")
    assert (chosen(window), absent(window)) == (["sofa"], [])
    window.click("[data-name=sofa]")
    window.press("5", "1", "1")
    assert (chosen(window), absent(window)) == (["chair"], ["wall", "sofa"]) and "held" in window.text("#age")
    line = "return getComputedStyle(document.querySelector('[data-name=sofa] span')).textDecorationLine"
    assert window.run(line) == "line-through"
    label = "return document.querySelector('[data-name=sofa]').getAttribute('aria-label')"
    assert window.run(label) == "sofa: not there" and "Send 3 tags for this image" in window.text("#send")
    window.press("1", "enter")
    until(lambda: opened["image"], "no tags arrived")
    assert [message.data for message in opened["image"]] == ["@55.000000000 chair, -sofa"]
    window.wait("return document.querySelector('#toast').innerText == 'sent for the image: chair, -sofa'")
    assert chosen(window) == absent(window) == [] and window.run(line) == "none"
    learner.report(scene={"name": "s", "frames": 1, "received": 1, "tags": ["chair", "-sofa"], "image_tags": 1})
    window.wait("return document.querySelectorAll('#scene-tags span').length == 2")
    chips = window.run("return [...document.querySelectorAll('#scene-tags span')].map(s => [s.innerText, s.className])")
    assert chips == [["chair", ""], ["sofa", "absent"]]


def test_tags_of_the_scene_by_mouse(window, opened):
    window.click("#about-scene")
    window.click("[data-name=bed]")
    window.click("[data-name='shower curtain']")
    window.click("#send")
    until(lambda: opened["scene"], "no tags arrived")
    assert [message.data for message in opened["scene"]] == ["bed, shower curtain"] and not opened["image"]
    window.wait("return document.querySelector('#toast').innerText == 'sent for the scene: bed, shower curtain'")
    window.press("escape")
    assert chosen(window) == []
    window.press("enter")
    window.wait("return document.querySelector('#toast').innerText == 'Choose a class first.'")


def test_every_class_has_a_key_of_its_own_that_no_action_has(window, opened):
    keys = window.run("return [...document.querySelectorAll('#classes kbd')].map(k => k.innerText)")
    actions = window.run("return Object.keys(ACTIONS)")
    assert len(set(keys)) == 20 and keys[:11] == [*"1234567890", "A"]
    assert not set("".join(keys).lower()) & set(actions)
    window.press(*(key.lower() for key in keys))
    assert chosen(window) == list(scannet20().names)
    buttons = "[...document.querySelectorAll('#classes button')]"
    colors = window.run(f"return {buttons}.map(b => getComputedStyle(b).backgroundColor)")
    assert [tuple(map(int, re.findall(r"\d+", color)[:3])) for color in colors] == list(scannet20().colors)


def test_buttons_and_keys_command_the_learner_and_reset_asks_first(window, opened, learner):
    window.press("n", "f", "t", "p")
    until(lambda: len(learner.asked) == 4)
    assert learner.asked == ["start_scene", "finish_scene", "train", "pause"], "one after the other"
    window.wait("return document.querySelector('#pause').innerText.startsWith('Resume')")
    window.click("#pause")
    until(lambda: learner.asked[4:] == ["resume"])
    window.click("[data-command=rollback]")
    until(lambda: learner.asked[5:] == ["rollback"])
    window.wait("return document.querySelector('#toast').innerText == 'rollback: done'")
    window.click("[data-command=reset]")
    assert window.run("return document.querySelector('#ask').open")
    window.press("escape")
    window.click("[data-command=reset]")
    window.click("#keep")
    window.click("[data-command=reset]")
    window.press("1", "t", "enter")  # enter: the button that keeps them has the focus
    assert not window.run("return document.querySelector('#ask').open") and chosen(window) == []
    time.sleep(0.3)
    assert learner.asked[6:] == []
    window.click("[data-command=reset]")
    window.click("#reset")
    until(lambda: learner.asked[6:] == ["reset"])
    window.wait("return document.querySelector('#toast').innerText == 'reset: done'")
    learner.answers["train"] = (False, "nothing to learn from")
    window.press("t")
    window.wait("return document.querySelector('#toast').innerText == 'nothing to learn from'")


def decision(round: int, promoted: bool, before: float, after: float, why: str) -> dict:
    def scores(value):
        return {name: {"image_tags": value, "cloud_tags": value / 2, "agreement": 0.5} for name in ("new", "memory")}

    told = {"round": round, "promoted": promoted, "why": why, "version": f"{round:04d}"}
    return told | {"before": scores(before), "after": scores(after)}


def test_the_learners_state_is_shown(window, opened, learner):
    rounds = [decision(1, True, 0.41, 0.52, "all scores rose"), decision(2, False, 0.52, 0.33, "image tags fell")]
    rounds[1]["after"]["new"]["agreement"] = None
    scene = {"name": "scene_9", "frames": 12, "received": 80, "tags": ["bed", "lamp"], "image_tags": 4}
    round_now = {"round": 3, "step": 30, "steps": 120, "loss": 0.5, "left_s": 95.0, "waiting": True}
    learner.report(state="training", scene=scene, round=round_now, rounds=rounds)
    window.wait("return document.querySelector('#state').innerText == 'training'")
    assert window.text("#step") == "Round 3: step 30 of 120 · 2 min left · loss 0.50 · waits for the segmenters"
    assert window.run("return document.querySelector('#progress').value") == 0.25
    assert window.text("#version") == "weights 0002" and window.text("#message") == "scene_1 is kept"
    assert window.text("#decision") == "Round 2 was refused: image tags fell"
    shown = window.text("#scene")
    assert all(part in shown for part in ("scene_9", "12 of 80", "bed", "lamp"))
    rows = window.text("#rounds")
    assert "41 → 52" in rows and "52 → 33" in rows and "50 → –" in rows and "all scores rose" in rows
    assert window.run("return document.querySelectorAll('#chart circle').length") == 5
    assert window.run("return document.querySelectorAll('#chart circle.hollow').length") == 2
    window.click("#sets button:nth-child(2)")
    assert window.run("return document.querySelectorAll('#chart circle').length") == 6
    learner.report(state="paused", paused=True, round=None, scene=None)
    window.wait("return document.querySelector('#state').innerText == 'paused'")
    assert not window.run("return document.querySelector('#round').checkVisibility()")
    assert "No scene is open." in window.text("#scene")


def test_a_learner_that_goes_is_missed_and_one_that_comes_is_found(window, page, probe, learner, opened):
    learner.timer.cancel()
    window.wait("return document.querySelector('#state').innerText.startsWith('silent for')")
    learner.close()
    window.wait("return document.querySelector('#state').innerText == 'no learner'")
    assert window.run("return [...document.querySelectorAll('[data-command]')].every(b => b.disabled)")
    window.press("t")
    window.wait("return document.querySelector('#toast').innerText == 'There is no learner.'")
    another = Learner(probe, page)
    try:
        window.wait("return document.querySelector('#state').innerText == 'collecting'")
        window.click("[data-command=train]")
        until(lambda: another.asked == ["train"])
    finally:
        another.close()
        learner.__init__(probe, page)  # for the fixture to close
        until(lambda: page.status()["learner_there"])


def test_the_page_finds_its_node_again(window, shared_ros_environment, tmp_path):
    (tmp_path / "first").mkdir()
    with running(shared_ros_environment, tmp_path / "first", space="/again") as (first, _):
        port = first.port
        window.go(first.url)
        window.wait("return document.querySelectorAll('#classes button').length == 20")
        assert not window.run("return document.querySelector('#offline').checkVisibility()")
    window.wait("return document.querySelector('#offline').checkVisibility()")
    window.press("1", "enter")
    window.wait("return document.querySelector('#toast').innerText == 'No answer from the robot.'")
    assert chosen(window) == ["wall"], "what could not be sent stays chosen"
    with running(shared_ros_environment, tmp_path, space="/again", port=port):
        window.wait("return !document.querySelector('#offline').checkVisibility()")
        assert chosen(window) == ["wall"]
    window.go("about:blank")
    assert all("net::ERR_" in error for error in window.errors())


def test_markup_in_names_and_in_what_the_learner_says_stays_text(window, shared_ros_environment, tmp_path):
    labels = tmp_path / "labels.yaml"
    names = (HOSTILE, "<b>bold</b>", "a&amp;b")
    rows = [{"name": name, "id": 1 + at, "color": [at, 9, 200]} for at, name in enumerate(names)]
    labels.write_text(yaml.safe_dump({"name": "hostile", "classes": rows}))
    with running(shared_ros_environment, tmp_path, space="/hostile", label_space=labels) as (page, probe):
        received = probe.collect(String, page.node.topic("tags/image"), RELIABLE)
        learner = Learner(probe, page)
        scores = {HOSTILE: {"image_tags": 0.5, "cloud_tags": HOSTILE, "agreement": 0.5}, "new": {"image_tags": 0.4}}
        one = {"round": HOSTILE, "promoted": True, "why": HOSTILE, "before": scores, "after": scores}
        round_now = {"round": HOSTILE, "step": HOSTILE, "steps": 3, "loss": HOSTILE, "left_s": HOSTILE, "waiting": True}
        learner.report(message=HOSTILE, state=HOSTILE, version=HOSTILE, rounds=[one], round=round_now, scenes=HOSTILE)
        scene = {"name": HOSTILE, "frames": HOSTILE, "received": HOSTILE, "tags": [HOSTILE], "image_tags": HOSTILE}
        learner.report(scene=scene)
        window.go(page.url)
        window.wait("return document.querySelectorAll('#classes button').length == 3")
        parts = "message state version decision rounds step scene-name scene-facts scene-tags facts sets"
        for part in parts.split():
            window.wait("return document.getElementById(arguments[0]).innerText.includes(arguments[1])", part, HOSTILE)
        assert window.run("return document.querySelectorAll('img').length") == 1, "the picture alone"
        assert window.run("return document.querySelectorAll('b').length + (window.hacked ? 1 : 0)") == 0
        assert window.text("#classes button:nth-child(2) span") == "<b>bold</b>"
        until(lambda: page.status()["listeners"]["image"] == 1)
        window.press("1", "2", "3", "enter")
        until(lambda: received)
        assert received[0].data == f"{HOSTILE}, <b>bold</b>, a&amp;b"
        window.wait("return document.querySelector('#toast').innerText.includes(arguments[0])", HOSTILE)
        assert window.run("return document.querySelectorAll('img').length") == 1
    window.go("about:blank")
    window.errors()  # refused connections at the end


@pytest.mark.parametrize("width, height", [(360, 740), (740, 360), (820, 1180)])
def test_it_fits_a_phone(window, page, probe, learner, opened, width, height):
    rounds = [decision(n, n != 3, 0.123, 0.99, "no held-out score fell by more than 0.02 " * 3) for n in range(1, 40)]
    tags = list(scannet20().names)
    scene = {"name": "scene_20250301_" + "x" * 70, "frames": 120, "received": 123456, "tags": tags, "image_tags": 99}
    learner.report(scene=scene, rounds=rounds, message="m" * 300)
    window.size(width, height, mobile=True)
    window.go(page.url)
    show(window, page, probe, 80 * 10**9)
    window.wait("return document.querySelectorAll('#chart circle').length == 39 * 3")
    assert window.run("return document.documentElement.scrollWidth") <= width
    small = """return [...document.querySelectorAll('button')].filter(b => b.checkVisibility())
        .map(b => b.getBoundingClientRect())
        .filter(r => r.height < 40 || r.width < 44 || r.left < 0 || r.right > innerWidth).length"""
    assert window.run(small) == 0, "too small for a finger, or off the screen"
    picture = window.run("return document.querySelector('#picture').getBoundingClientRect().bottom")
    assert picture < height, "the whole picture is on the first screen"
    assert not window.run("return document.querySelector('#classes kbd').checkVisibility()"), "a phone has no keys"
    window.run("window.scrollTo(0, 0)")
    send = window.run("return document.querySelector('#send').getBoundingClientRect().bottom")
    assert send <= height, "the button that sends is always at hand"
    window.size(1280, 800)
