"""The memory of scenes: held-out scenes, replays of a bag, bounds, reset."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scene_stream import LABELS, collect, discarded, names_below, store_in, view

from wsss_ros.online.stored_scene import StoredScene, least_needed
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput


def test_held_out_by_scene_for_good(tmp_path):
    store = store_in(tmp_path, every=3, max_scenes=4)
    for _ in range(4):
        collect(store)
    assert [scene.number for scene in store.scenes()] == [1, 2, 3, 4]
    assert [scene.held_out for scene in store.scenes()] == [False, False, True, False]
    store = store_in(tmp_path, every=3, max_scenes=4)
    for _ in range(3):
        collect(store)
    sides = {scene.number: scene.held_out for scene in store.scenes()}
    assert all(held == (number % 3 == 0) for number, held in sides.items()) and len(sides) == 4 and 7 in sides


def test_a_bag_played_again_stays_on_its_side_of_the_gate(tmp_path):
    store = store_in(tmp_path, every=2)
    taught, held = collect(store, at_m=0), collect(store, at_m=50)
    assert (taught.held_out, held.held_out) == (False, True)
    again = [collect(store, at_m=x, views=v) for x, v in ((50.5, 3), (0.0, 6), (1.5, 4), (51.5, 3))]
    assert [scene.number for scene in again] == [3, 4, 5, 6]
    assert [scene.held_out for scene in again] == [True, False, False, True]
    assert [scene.again_of for scene in again[:2]] == [(held.name,), (taught.name,)]
    assert not again[3].again_of, "one view alone is no replay"
    # what an older version stored has no fingerprints
    about = json.loads((held.folder / "scene.json").read_text())
    del about["fingerprints"], about["again_of"]
    (held.folder / "scene.json").write_text(json.dumps(about))
    assert store.scenes()[1].fingerprints == frozenset()


def test_a_bag_played_again_is_known_by_views_that_were_not_kept(tmp_path):
    """Every sixth view is kept; the second time they are other ones."""
    store = store_in(tmp_path, every=2, min_shift_m=0.29)
    stored = []
    for first in (0, 1):
        scene = store.create()
        kept = [k for k in range(first, 60) if scene.add(view(0.05 * k, at_s=0.1 * k))]
        scene.tag_image(["wall"])
        stored.append(store.finish(scene, "asked for"))
    assert kept[:3] == [1, 7, 13] and stored[0].fingerprints.isdisjoint(stored[1].fingerprints)
    assert stored[1].again_of == (stored[0].name,) and not stored[1].held_out


def test_views_of_both_sides_of_the_gate_are_discarded(tmp_path):
    store = store_in(tmp_path, every=2)
    taught, held = collect(store, at_m=0), collect(store, at_m=1.5)
    assert collect(store, at_m=0.5, views=4) is None and len(store.scenes()) == 2
    assert f"it shows views of '{taught.name}', for training, and of '{held.name}', held out" in store.last_discard


def test_common_classes_go_first_and_the_log_reports_it_once(tmp_path, caplog):
    caplog.set_level("INFO")
    store = store_in(tmp_path, every=100, max_scenes=3)
    bed, chair, more, sofa = [collect(store, ("wall", other)) for other in ("bed", "chair", "chair", "sofa")]
    assert store.scenes() == [bed, more, sofa] and not chair.folder.exists()
    (line,) = discarded(tmp_path)
    assert (line["scene"], line["tags"], line["bytes"]) == (chair.name, ["wall", "chair"], chair.bytes)
    assert "4 scenes, 3 may stay" in line["reason"] == store.last_discard
    assert caplog.text.count(chair.name) == caplog.text.count(f"scene {chair.name} is discarded: 4 scenes") == 1
    assert names_below(tmp_path / "scenes") == sorted(scene.name for scene in (bed, more, sofa))


def test_bounded_in_bytes(tmp_path):
    size = collect(store_in(tmp_path / "probe")).bytes
    store = store_in(tmp_path / "store", max_gb=2.5 * size / 1e9)
    kept = [collect(store) for _ in range(4)][-2:]
    assert store.scenes() == kept and "GB, " in discarded(tmp_path / "store")[0]["reason"]


def test_a_scene_too_large_by_itself_does_not_push_the_others_out(tmp_path):
    store = store_in(tmp_path, max_gb=0.0004)
    small = collect(store, views=3)
    assert collect(store, views=30) is None and "GB, and all may take" in store.last_discard
    assert store.scenes() == [small]


def test_pinned_scenes_stay(tmp_path, caplog):
    store = store_in(tmp_path, max_scenes=2)
    first, second = collect(store), collect(store)
    store.pinned = {first.name}
    third = collect(store)
    assert store.scenes() == [first, third]
    store.pinned = {first.name, third.name}
    collect(store)
    assert len(store.scenes()) == 3 and "a round reads them all" in caplog.text and not second.folder.exists()


def fake(number: int, tags: tuple[str, ...], held_out: bool) -> StoredScene:
    return StoredScene(f"s{number}", Path("x"), tags, held_out, 5, 10, 0, number)


MEMORIES = st.lists(
    st.tuples(st.lists(st.sampled_from(LABELS.names[:6]), min_size=1, max_size=4, unique=True), st.booleans()),
    min_size=2,
    max_size=20,
)


@given(MEMORIES)
def test_no_class_loses_its_last_scene_while_another_can_give_one(memory):
    scenes = [fake(k, tuple(tags), held) for k, (tags, held) in enumerate(memory)]
    counts = Counter(tag for scene in scenes for tag in scene.tags)
    spare = [scene for scene in scenes if all(counts[tag] > 1 for tag in scene.tags)]
    chosen = least_needed(scenes, scenes, 4)
    assert chosen in spare or not spare
    surplus = 4 * sum(scene.held_out for scene in scenes) > len(scenes)
    if any(scene.held_out == surplus for scene in spare):
        assert chosen.held_out == surplus
        side = Counter(tag for scene in scenes if scene.held_out == surplus for tag in scene.tags)
        rarest = [min(side[tag] - (tag in s.tags) for tag in side) for s in spare if s.held_out == surplus]
        assert min(side[tag] - (tag in chosen.tags) for tag in side) == max(rarest)


def test_a_full_memory_evens_out():
    """A stream of nine chairs to one bed: the beds for training all stay, and of the three held out there is either."""
    memory = []
    for k in range(60):
        memory.append(fake(k, ("wall", "bed") if k % 10 == 0 else ("wall", "chair"), k % 4 == 0))
        if len(memory) > 12:
            memory.remove(least_needed(memory[:-1], memory, 4))
    sides = {held: Counter(s.tags[1] for s in memory if s.held_out == held) for held in (False, True)}
    assert sides[False] == {"bed": 3, "chair": 6} and sorted(sides[True].values()) == [1, 2]


def test_reset_keeps_a_copy(tmp_path):
    store = store_in(tmp_path, every=2)
    first, held = collect(store), collect(store, ("bed",))
    scene = store.create()
    scene.add(view())
    archive = store.reset()
    assert archive.parent == tmp_path / "archive" and store.scenes() == [] and names_below(tmp_path / "scenes") == []
    assert names_below(archive) == sorted([first.name, held.name])
    assert open_scene(archive / held.name, LABELS).tags == ("bed",)
    assert {line["scene"]: "reset" in line["reason"] for line in discarded(tmp_path)} == dict.fromkeys(
        (scene.name, first.name, held.name), True
    )
    with pytest.raises(BadInput, match="finished"):
        scene.add(view(1))
    assert collect(store_in(tmp_path, every=2)).number == 3 and store.reset() != archive


def test_a_broken_scene_is_left_out_by_name(tmp_path, caplog):
    store = store_in(tmp_path)
    good, bad = collect(store), collect(store)
    (bad.folder / "tags.json").write_text('{"scene": ["chiar"]}')
    assert store.scenes() == [good] and bad.name in caplog.text and "'chair'" in caplog.text
    (bad.folder / "tags.json").write_text('{"scene": ["bed"]}')  # mended by hand, read anew
    assert [scene.tags for scene in store.scenes()] == [good.tags, ("bed",)]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="no place for scenes"):
        store_in(tmp_path / "file")
