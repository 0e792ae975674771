"""Plans of rooms: what stands where, and that it fits."""

import hashlib
import itertools
from collections import Counter

import numpy as np
from reference import rooms as reference

from wsss_ros.rooms import generator
from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.layout.plan import plan
from wsss_ros.rooms.styles import DEFAULT


def test_all_classes_are_reachable_and_kinds_differ(plans, labels):
    tags = {k: [frozenset(p.label for s in room.placed for p in s.piece.parts) for room in v] for k, v in plans.items()}
    everything = list(itertools.chain(*tags.values()))
    assert set().union(*everything) == {*labels.names, NOTHING}
    assert all({"wall", "floor"} <= found for found in everything)
    assert len(set(everything)) > len(everything) / 2
    typical = dict(
        bedroom="bed", living_room="sofa", kitchen="refrigerator", office="desk", bathroom="toilet", library="bookshelf"
    )
    for kind, name in typical.items():
        share = {k: np.mean([name in found for found in v]) for k, v in tags.items()}
        assert share[kind] == max(share.values()) > np.mean(list(share.values())) + 0.2, (kind, share)


def test_furniture_does_not_interpenetrate_and_stays_in_the_room(plans, other_plans):
    for room in itertools.chain(*plans.values(), *other_plans.values()):
        standing = [s for s in room.placed if s.solid and s.piece.kind not in ("window", "door")]
        for spot in standing:
            low, high = spot.corners().min(0), spot.corners().max(0)
            assert (low > -1e-3).all(), spot.piece.kind
            assert (high < np.array([room.width, room.depth]) + 1e-3).all(), spot.piece.kind
        for a, b in itertools.combinations(standing, 2):
            if np.hypot(a.x - b.x, a.y - b.y) < a.radius() + b.radius():
                cloth = "shower curtain" in (a.piece.kind, b.piece.kind)  # may brush against what stands there
                assert cloth or reference.shared_floor(a, b) < 0.002, (room.kind, a.piece.kind, b.piece.kind)


def test_pupils_face_the_board(other_plans):
    for room in other_plans["classroom"]:
        boards = [s for s in room.placed if not s.piece.kind and s.piece.size[0] >= 1 and 0.85 < s.z < 0.95]
        (size, count), *_ = Counter(s.piece.size for s in room.placed if s.piece.kind == "desk").most_common()
        rows = [s for s in room.placed if s.piece.size == size]
        assert count >= 2
        assert any(all(np.isclose(s.yaw, b.yaw) for s in rows) for b in boards)


def test_default_rooms_are_the_same_for_ever(tmp_path):
    """What was trained on and what ships was measured on these: plans draw the same numbers as they always did."""
    digest = hashlib.sha256()
    for kind in DEFAULT.kinds:
        for seed in range(3):
            for spot in plan(kind, np.random.default_rng([seed, 1]), DEFAULT).placed:
                place = np.array([spot.x, spot.y, spot.z, spot.yaw, *spot.piece.size])
                looks = [(p.label, np.round(p.material.color, 6).tolist(), p.material.seed) for p in spot.piece.parts]
                digest.update(repr((np.round(place, 6).tolist(), looks)).encode())
    assert digest.hexdigest()[:16] == "12f97ee2b41dcb15"
    drawn = [generator._drawn(seed, DEFAULT, ()) for seed in (0, 1000, 9000)]
    assert drawn == [("library", 98), ("living_room", 91), ("office", 74)]
