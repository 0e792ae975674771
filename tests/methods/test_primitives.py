"""Primitives: features of superpoints and k-means equal to slow twins, groups, and too little to cluster."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import superpoints as reference

from wsss_ros.geometry.regions import PRESETS, regions
from wsss_ros.geometry.superpoints import HandMadeSettings, hand_made
from wsss_ros.methods.densify import primitives as module
from wsss_ros.methods.densify.primitives import (
    Clusters,
    first_centres,
    grouped,
    kmeans,
    primitive_features,
    propagated,
    superpoint_features,
)
from wsss_ros.types import BadInput


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(count=400, centres=6, width=5, seed=0):
    random = np.random.default_rng(seed)
    middle = random.normal(size=(centres, width)) * 5
    own = random.integers(0, centres, count)
    return torch.from_numpy((middle[own] + random.normal(size=(count, width))).astype(np.float32)), own


@pytest.mark.parametrize("warm_up", [True, False])
def test_the_features_of_superpoints_equal_the_twin(warm_up):
    random = np.random.default_rng(1)
    features, region = random.normal(size=(200, 8)).astype(np.float32), random.integers(-1, 12, 200)
    region[region == 4] = 5  # a superpoint without a point in the sample
    hand_made = random.normal(size=(13, 13)).astype(np.float32) if warm_up else None
    of_torch = None if hand_made is None else torch.from_numpy(hand_made)
    rows, numbers = superpoint_features(torch.from_numpy(features), torch.from_numpy(region), of_torch, 2.0, 4.0)
    expected, expected_numbers = reference.superpoint_features(features.astype(np.float64), region, hand_made, 2.0, 4.0)
    assert numbers.tolist() == expected_numbers
    np.testing.assert_allclose(rows.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(rows.norm(dim=1), 1, atol=1e-6)


def test_a_scene_without_superpoints_gives_no_rows():
    rows, numbers = superpoint_features(torch.zeros(50, 8), torch.full((50,), -1), torch.zeros(0, 13))
    assert rows.shape == (0, 21) and numbers.tolist() == []
    rows, numbers = superpoint_features(torch.zeros(50, 8), torch.zeros(50, dtype=torch.int64), torch.zeros(1, 13))
    assert rows.tolist() == [[0.0] * 21] and numbers.tolist() == [0]


@pytest.mark.parametrize("points, superpoints", [(1600, 1), (50, 0), (1, 0), (0, 0)])
def test_a_cloud_of_few_points_has_one_superpoint_or_none(points, superpoints):
    """1600 points are a plate of 80 cm; the first 50 of them are a line in 20 voxels, which is too small."""
    flat = np.stack(np.divmod(np.arange(points), 40), axis=1) * 0.02
    xyz = np.insert(flat.astype(np.float32), 2, 0, axis=1)
    region = regions(xyz, None, PRESETS["densify"])
    assert region.tolist() == [superpoints - 1] * points
    extra = torch.from_numpy(hand_made(xyz, None, region, HandMadeSettings()))
    rows, numbers = superpoint_features(torch.ones(points, 4), torch.from_numpy(region), extra)
    assert rows.shape == (superpoints, 17) and numbers.tolist() == list(range(superpoints))
    if superpoints:
        found = kmeans(rows, 300)
        assert found.cluster.tolist() == [0] and primitive_features(rows, found, 4).tolist() == [[0.5] * 4]
        assert grouped(primitive_features(rows, found, 4)).tolist() == [0]


@pytest.mark.parametrize("block", [2048, 37])
def test_kmeans_equals_the_twin(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    rows, _ = blobs()
    start = first_centres(rows, 9, seeded())
    for iterations in (1, 3, 100):
        found = kmeans(rows, 9, seeded(), iterations)
        centres, cluster = reference.kmeans(rows.double().numpy(), start.double().numpy(), iterations, 1e-4)
        np.testing.assert_allclose(found.centre, centres, atol=1e-5)
        assert found.cluster.tolist() == cluster.tolist()


def test_an_empty_cluster_starts_anew_at_the_farthest_row(monkeypatch):
    rows = torch.tensor([[0.0], [1.0], [10.0], [11.0], [30.0]])
    start = torch.tensor([[0.5], [10.0], [-50.0]])
    monkeypatch.setattr(module, "first_centres", lambda *given: start)
    found = kmeans(rows, 3)
    centres, cluster = reference.kmeans(rows.double().numpy(), start.double().numpy(), 100, 1e-4)
    assert found.centre.tolist() == centres.tolist() == [[0.5], [10.5], [30.0]]
    assert found.cluster.tolist() == cluster.tolist()


def test_the_sums_of_clusters_on_a_gpu_are_those_on_the_cpu():
    rows, own = blobs()
    cluster = torch.from_numpy(own)
    expected = torch.zeros(8, rows.shape[1], dtype=torch.float64).index_add(0, cluster, rows.double())
    np.testing.assert_allclose(module.cluster_sums(rows, cluster, 8), expected, atol=1e-9)


def test_kmeans_finds_well_separated_blobs():
    rows, own = blobs(centres=6)
    found = kmeans(rows, 6, seeded(3))
    pairs = set(zip(found.cluster.tolist(), own.tolist(), strict=True))
    assert len(pairs) == 6


def test_the_same_random_numbers_give_the_same_clusters():
    rows, _ = blobs()
    first, again, other = (kmeans(rows, 20, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.centre, again.centre) and torch.equal(first.cluster, again.cluster)
    assert not torch.equal(first.centre, other.centre)
    torch.manual_seed(5)
    drawn = kmeans(rows, 20).centre
    torch.manual_seed(5)
    assert torch.equal(drawn, kmeans(rows, 20).centre)


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 20), count=st.integers(1, 15), values=st.integers(1, 6), seed=st.integers(0, 99))
def test_few_or_equal_rows_have_fewer_clusters_and_each_row_its_nearest(rows, count, values, seed):
    random = np.random.default_rng(seed)
    given = torch.from_numpy(random.integers(0, values, (rows, 2)).astype(np.float32))
    found = kmeans(given, count, seeded(seed))
    assert len(found.centre) == min(count, len(given.unique(dim=0)))
    squared = (given[:, None] - found.centre).square().sum(dim=2)
    own = squared.gather(1, found.cluster[:, None])[:, 0]
    np.testing.assert_allclose(own, squared.min(dim=1).values, atol=1e-4)


def test_a_large_set_starts_from_a_part_of_it(monkeypatch):
    monkeypatch.setattr(module, "_START_ROWS", 50)
    rows, _ = blobs(1000)
    assert len(first_centres(rows, 60, seeded())) == 50
    assert len(first_centres(rows, 8, seeded()).unique(dim=0)) == 8


def test_kmeans_refuses_what_it_cannot_cluster():
    with pytest.raises(BadInput, match="0 superpoints"):
        kmeans(torch.zeros(0, 3), 300)
    with pytest.raises(BadInput, match="diverged"):
        kmeans(torch.tensor([[1.0], [float("nan")]]), 2)


def test_a_primitive_is_the_unit_mean_of_the_network_columns_of_its_superpoints():
    rows = torch.tensor([[3.0, 0, 9], [0, 3, 9], [0, 5, 0]])
    found = Clusters(torch.tensor([[9.0, 9, 9], [1, 1, 1], [0, 4, 3]]), torch.tensor([0, 0, 1]))
    half = 0.5**0.5
    np.testing.assert_allclose(primitive_features(rows, found, 2), [[half, half], [0, 1], [0, 1]], atol=1e-6)


def test_labels_spread_in_their_group_unless_they_differ():
    group = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    label = torch.tensor([4, -1, -1, 0, 7, 5, 5, -1, -1])
    assert propagated(label, group).tolist() == [4, 4, 4, -1, -1, 5, 5, 5, -1]


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 4)), max_size=12))
def test_spreading_equals_the_twin(pairs):
    label, group = (torch.tensor([pair[i] for pair in pairs], dtype=torch.int64) for i in (0, 1))
    assert propagated(label, group).tolist() == reference.propagated(label.tolist(), group.tolist())


def test_primitives_that_are_alike_are_one_group():
    features = torch.eye(4).repeat_interleave(3, dim=0) + 0.01 * torch.rand(12, 4, generator=seeded())
    group = grouped(features, 4, seeded(2))
    assert [len(set(group[i : i + 3].tolist())) for i in range(0, 12, 3)] == [1, 1, 1, 1]
    assert len(set(group.tolist())) == 4
