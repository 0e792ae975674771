"""Neighbours against slow twins: the numba path and the plain torch path must choose the very same points."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import neighbors as reference
from support.paths import ROOT

from wsss_ros.geometry import neighbor_torch, neighbors
from wsss_ros.types import BadInput

SAMPLERS = [neighbors.farthest_point_sample, neighbor_torch.farthest_point_sample]
BALLS = [neighbors.ball_query, neighbor_torch.ball_query]
NEAREST = [neighbors.knn, neighbor_torch.knn]
both = pytest.mark.parametrize("path", [0, 1], ids=["numba", "torch"])


@st.composite
def clouds(draw, most=120):
    """Clouds with ties, duplicates, outliers: on a coarse grid, random, flat, all equal, one point far away."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, most))
    kind = draw(st.sampled_from(["grid", "random", "flat", "equal", "far"]))
    xyz = random.normal(size=(count, 3))
    if kind == "grid":
        xyz = random.integers(0, 4, (count, 3)) * 0.25
    if kind == "flat":
        xyz[:, draw(st.integers(0, 2))] = 1.5
    if kind == "equal":
        xyz[:] = xyz[0]
    if kind == "far":
        xyz[random.integers(count)] *= 1e7
    return xyz.astype(np.float32)


def room(count, seed=0):
    """Points on the faces of a box of 6 x 5 x 2.6 m."""
    random = np.random.default_rng(seed)
    xyz = random.random((count, 3))
    face = random.integers(0, 6, count)
    xyz[np.arange(count), face % 3] = face // 3
    return (xyz * [6, 5, 2.6]).astype(np.float32)


@both
@settings(max_examples=80, deadline=None)
@given(xyz=clouds(), data=st.data())
def test_sampling_equals_the_plain_loop(path, xyz, data):
    count = data.draw(st.integers(1, 2 * len(xyz)))
    start = data.draw(st.integers(0, len(xyz) - 1))
    index = SAMPLERS[path](torch.from_numpy(xyz), count, start)
    assert index.tolist() == reference.farthest_point_sample(xyz, count, start).tolist()


@both
@settings(max_examples=80, deadline=None)
@given(xyz=clouds(), centres=clouds(40), radius=st.sampled_from([0.01, 0.25, 0.5, 1.0, 3.0]), count=st.integers(1, 40))
def test_ball_query_equals_the_full_matrix(path, xyz, centres, radius, count):
    index = BALLS[path](torch.from_numpy(xyz), torch.from_numpy(centres), radius, count)
    assert index.tolist() == reference.ball_query(xyz, centres, radius, count).tolist()


@both
@settings(max_examples=80, deadline=None)
@given(xyz=clouds(), queries=clouds(40), k=st.integers(1, 6))
def test_nearest_equal_the_full_sort(path, xyz, queries, k):
    k = min(k, len(xyz))
    index, squared = NEAREST[path](torch.from_numpy(xyz), torch.from_numpy(queries), k)
    expected, distances = reference.knn(xyz, queries, k)
    assert index.tolist() == expected.tolist()
    np.testing.assert_array_equal(squared.numpy(), distances.astype(np.float32))


@both
def test_a_room_in_the_sizes_of_the_network(path):
    """Several boxes deep, several threads, several slices."""
    xyz = torch.from_numpy(room(6000))
    chosen = SAMPLERS[path](xyz, 600, 0)
    assert chosen.tolist() == reference.farthest_point_sample(xyz.numpy(), 600).tolist()
    centres = xyz[chosen]
    index = BALLS[path](xyz, centres, 0.3, 64)
    assert index.tolist() == reference.ball_query(xyz.numpy(), centres.numpy(), 0.3, 64).tolist()
    near, _ = NEAREST[path](centres, xyz, 3)
    assert near.tolist() == reference.knn(centres.numpy(), xyz.numpy(), 3)[0].tolist()


def test_torch_path_in_many_slices(monkeypatch):
    """Slices of one query each give what one slice gives, and an empty set of queries gives empty answers."""
    xyz = torch.from_numpy(room(50))
    at_once = neighbor_torch.ball_query(xyz, xyz, 1.0, 8), *neighbor_torch.knn(xyz, xyz, 4)
    monkeypatch.setattr(neighbor_torch, "SLICE", 60)
    sliced = neighbor_torch.ball_query(xyz, xyz, 1.0, 8), *neighbor_torch.knn(xyz, xyz, 4)
    for a, b in zip(at_once, sliced, strict=True):
        assert torch.equal(a, b)


@both
def test_no_queries_give_no_rows(path):
    xyz, none = torch.rand(5, 3), torch.empty(0, 3)
    assert BALLS[path](xyz, none, 1.0, 4).shape == (0, 4)
    assert [part.shape for part in NEAREST[path](xyz, none, 2)] == [(0, 2), (0, 2)]


@both
def test_hits_are_nearer_than_the_radius_by_hand(path):
    xyz = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.5, 0, 0], [9, 0, 0]])
    index = BALLS[path](xyz, torch.tensor([[0.0, 0, 0], [2.1, 0, 0]]), 1.0, 3)
    assert index.tolist() == [[0, 2, 0], [1, 1, 1]]  # at the radius is outside; no hit: the nearest


def test_trees_at_hand_change_nothing():
    xyz, centres = torch.from_numpy(room(3000)), torch.from_numpy(room(500, seed=1))
    tree, centre_tree = neighbors.grow(xyz), neighbors.grow(centres)
    assert torch.equal(neighbors.farthest_point_sample(xyz, 50, tree=tree), neighbors.farthest_point_sample(xyz, 50))
    assert torch.equal(neighbors.ball_query(xyz, centres, 0.3, 8, tree), neighbors.ball_query(xyz, centres, 0.3, 8))
    for a, b in zip(neighbors.knn(centres, xyz, 3, centre_tree, tree), neighbors.knn(centres, xyz, 3), strict=True):
        assert torch.equal(a, b)


def test_huge_coordinates_and_one_dense_heap():
    """The full range of float32 in one cloud, and many equal points among others: no crash, still exact."""
    xyz = np.concatenate([room(300), np.full((300, 3), 1.0), [[3e38, 0, 0], [-3e38, 1e-38, 0], [0, 1e30, -1e30]]])
    xyz = xyz.astype(np.float32)
    index = neighbors.farthest_point_sample(torch.from_numpy(xyz), 40)
    assert index.tolist() == reference.farthest_point_sample(xyz, 40).tolist()
    index = neighbors.ball_query(torch.from_numpy(xyz), torch.from_numpy(xyz), 0.4, 5)
    assert index.tolist() == reference.ball_query(xyz, xyz, 0.4, 5).tolist()


@settings(max_examples=50, deadline=None)
@given(xyz=clouds(), queries=clouds(40), k=st.integers(1, 4))
def test_interpolation_equals_its_twin(xyz, queries, k):
    features = np.random.default_rng(0).normal(size=(len(xyz), 5)).astype(np.float32)
    index, squared = neighbors.knn(torch.from_numpy(xyz), torch.from_numpy(queries), k)
    weight = neighbors.interpolation_weights(squared)
    got = neighbors.interpolate(torch.from_numpy(features), index, weight)
    expected = reference.interpolate(features, index.numpy(), squared.numpy().astype(np.float64))
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-6)


def test_interpolation_at_a_point_gives_the_point():
    xyz = torch.from_numpy(room(40))
    features = torch.randn(40, 2)
    torch.testing.assert_close(neighbors.interpolate_at(xyz, xyz, features), features, atol=1e-5, rtol=0)


def test_features_at_other_points_equal_the_twin():
    xyz, queries, features = torch.from_numpy(room(40)), torch.from_numpy(room(30, seed=1)), torch.randn(40, 2)
    index, squared = neighbors.knn(xyz, queries, 3)
    expected = reference.interpolate(features.numpy(), index.numpy(), squared.numpy().astype(np.float64))
    np.testing.assert_allclose(neighbors.interpolate_at(queries, xyz, features).numpy(), expected, atol=2e-6)


def test_interpolation_gradient():
    xyz = torch.rand(6, 3)
    index, squared = neighbors.knn(xyz, torch.rand(9, 3), 3)
    weight = neighbors.interpolation_weights(squared).double()
    features = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda rows: neighbors.interpolate(rows, index, weight), features)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda xyz: neighbors.farthest_point_sample(xyz[:0], 1), "no points"),
        (lambda xyz: neighbors.farthest_point_sample(xyz, 0), "count is 0"),
        (lambda xyz: neighbors.farthest_point_sample(xyz, 1, start=4), "start is 4"),
        (lambda xyz: neighbors.farthest_point_sample(xyz * torch.tensor([1, torch.nan, 1]), 1), "4 of 4 points"),
        (lambda xyz: neighbors.ball_query(xyz, xyz, 0.0, 1), "radius is 0"),
        (lambda xyz: neighbors.ball_query(xyz, xyz, float("nan"), 1), "radius is nan"),
        (lambda xyz: neighbors.ball_query(xyz, xyz / 0, 1.0, 1), "the centres"),
        (lambda xyz: neighbors.knn(xyz, xyz, 0), "k is 0"),
        (lambda xyz: neighbors.knn(xyz, xyz / 0, 1), "the queries"),
        (lambda xyz: neighbors.knn(xyz[:0], xyz, 1), "no points"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call(torch.ones(4, 3))


def test_fewer_points_than_neighbours():
    xyz = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    index, squared = neighbors.knn(xyz, xyz[:1], 3)
    assert index.tolist() == [[0, 1]]
    assert squared.tolist() == [[0.0, 1.0]]


def test_many_callers_at_once(monkeypatch):
    """Two nodes or loaders in one process may ask at the same time; each query set is split among threads as well."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    xyz = torch.from_numpy(room(3000))
    expected = neighbors.knn(xyz, xyz, 3)[0]
    with ThreadPoolExecutor(4) as callers:
        for index, _ in callers.map(lambda _: neighbors.knn(xyz, xyz, 3), range(12)):
            assert torch.equal(index, expected)


@pytest.mark.slow
def test_use_after_fork():
    """Data-loading workers are forked from a process that has used its threads: they need threads of their own."""
    program = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
from wsss_ros.geometry import neighbors
torch.set_num_threads(2)
xyz = torch.rand(2000, 3)
expected = neighbors.knn(xyz, xyz, 3)[0]
child = os.fork()
if not child:
    os._exit(0 if torch.equal(neighbors.knn(xyz, xyz, 3)[0], expected) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", program, str(ROOT)], check=True, timeout=60, env=dict(os.environ))
