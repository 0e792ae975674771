"""Walks through rooms, and the choice of few views."""

import numpy as np
import pytest

from wsss_ros.rooms.layout.plan import free_floor, plan
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import style_named
from wsss_ros.rooms.views import MIN_CLEARANCE_M, cells_seen, choose_complementary, choose_views, room_camera, safe_walk

LARGE = ("bed", "sofa", "table", "desk", "bookshelf", "refrigerator", "counter")


def test_walks_are_smooth_and_keep_clear(plans, other_plans, labels):
    for k, room in enumerate(rooms_of_kind[0] for rooms_of_kind in (plans | other_plans).values()):
        world = World(room, labels)
        assert len(world.part_of_triangle) < 40_000  # a bound on the time of a frame
        poses = safe_walk(world, 60, seed=k)
        eye, forward = poses[:, :3, 3], poses[:, :3, 2]
        assert world.clearance(eye).min() >= MIN_CLEARANCE_M
        assert (eye[:, 2] >= 1.3).all()
        assert (eye[:, 2] <= 1.8).all()
        assert np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-9)
        free, cell = free_floor(room)
        column, row = (eye[:, :2] / cell).astype(int).T
        assert free[np.clip(row, 0, free.shape[0] - 1), np.clip(column, 0, free.shape[1] - 1)].mean() > 0.8
        assert np.linalg.norm(np.diff(eye, axis=0), axis=1).max() < 0.8
        turn = np.degrees(np.arccos(np.clip((forward[1:] * forward[:-1]).sum(1), -1, 1)))
        assert turn.max() < 35
        assert turn.mean() > 1
        assert poses[:, 2, 1].max() < 0  # the image's down is down
        roll = np.degrees(np.arcsin(poses[:, 2, 0]))
        assert 0.2 < np.abs(roll).max() < 20


@pytest.mark.parametrize(("kind", "style"), [("library", "default"), ("studio", "other")])
def test_few_views_see_the_whole_room(kind, style, labels):
    world = World(plan(kind, np.random.default_rng([4, 1]), style_named(style)), labels)
    poses, steps = choose_views(world, 20, 4)
    assert len(poses) == len(steps) == 20
    assert (np.diff(steps) > 0).all()
    few = cells_seen(world, poses)
    hurried, patient = (cells_seen(world, safe_walk(world, n, 4)).shape[1] for n in (20, 90))
    assert few.shape[1] > max(0.85 * patient, 1.25 * hurried), (few.shape, patient, hurried)
    assert (few.sum(0) >= 2).mean() > 0.3
    parts = set().union(*(world.cast(room_camera((64, 48)), pose).part.tolist() for pose in poses)) - {-1}
    owner = [spot for spot in world.room.placed for _ in spot.piece.parts]
    missed = {id(s) for s in owner} - {id(owner[k]) for k in parts}
    assert not [s.piece.kind for s in world.room.placed if id(s) in missed and s.piece.kind in LARGE]


def test_complementary_views_by_hand():
    seen = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]], bool)
    assert choose_complementary(seen, 1).tolist() == [1]
    assert choose_complementary(seen, 2).tolist() == [1, 3]
    assert choose_complementary(seen, 3).tolist() == [0, 1, 3]  # 0.6 of cells seen before against 0.3
