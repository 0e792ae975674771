"""The order of samples: which ones a step has, from one source or from several by weight."""

import logging
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.processes import shared_memory
from wsss_ros.samples import loading
from wsss_ros.samples.loading import Share, Step, load, plan, turns

THREE = [Share(50, 1.0), Share(7, 2.0), Share(23, 1.0)]


@given(
    seed=st.integers(0, 99),
    samples=st.integers(1, 40),
    batch=st.integers(1, 8),
    start=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_one_source_has_the_order_that_runs_of_all_versions_have(seed, samples, batch, start):
    """The twin is the formula of the first version: weights of earlier runs can be reached again."""
    expected = []
    for epoch in range(start[0], 4):
        order = np.random.default_rng([seed, 2, epoch, samples]).permutation(samples).tolist()
        for step in range(start[1] if epoch == start[0] else 0, samples // batch):
            chosen = tuple(order[step * batch : (step + 1) * batch])
            expected.append(Step(epoch, step, chosen, (epoch,) * batch))
    assert list(plan(seed, 2, [Share(samples, 3.0)], batch, 4, *start)) == expected


@settings(deadline=None, max_examples=50)
@given(weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=6))
def test_after_any_number_of_draws_each_source_has_had_its_share(weights):
    drawn = np.zeros((401, len(weights)), int)
    for at, source in enumerate(islice(turns(weights), 400), start=1):
        drawn[at] = drawn[at - 1]
        drawn[at, source] += 1
    shares = np.arange(401)[:, None] * np.array(weights) / sum(weights)
    assert np.abs(drawn - shares).max() < (1 if len(weights) < 4 else 1.5)


def test_every_step_draws_from_all_sources():
    steps = list(plan(0, 0, THREE, 8, 3))
    assert [(step.epoch, step.index) for step in steps] == [(e, i) for e in range(3) for i in range(10)]
    for step in steps:
        source = np.searchsorted([50, 57, 80], step.samples, side="right")
        assert np.bincount(source).tolist() == [2, 4, 2]


def test_a_source_is_used_up_before_a_sample_of_it_comes_again():
    steps = list(plan(3, 1, THREE, 8, 3))
    of_second = [key for step in steps for key in zip(step.samples, step.passes, strict=True) if 50 <= key[0] < 57]
    assert len(of_second) == 120
    for start in range(0, 112, 7):
        one_pass = of_second[start : start + 7]
        assert sorted(index for index, _ in one_pass) == list(range(50, 57))
        assert {number for _, number in one_pass} == {start // 7}
    orders = {tuple(index for index, _ in of_second[start : start + 7]) for start in range(0, 112, 7)}
    assert len(orders) > 10
    keys = Counter(key for step in steps for key in zip(step.samples, step.passes, strict=True))
    assert max(keys.values()) == 1, "no augmentation comes twice"


@pytest.mark.parametrize("epoch, index", [(0, 1), (1, 0), (2, 9)])
def test_an_interrupted_mixture_goes_on_where_it_stopped(epoch, index):
    whole = list(plan(3, 1, THREE, 8, 3))
    assert list(plan(3, 1, THREE, 8, 3, epoch, index)) == whole[10 * epoch + index :]
    assert list(plan(4, 1, THREE, 8, 3)) != whole != list(plan(3, 0, THREE, 8, 3))


def test_sources_with_equal_numbers_have_orders_of_their_own():
    (step,) = plan(0, 0, [Share(16, 1.0), Share(16, 1.0)], 32, 1)
    first, second = step.samples[::2], step.samples[1::2]
    assert sorted(first) == list(range(16)) and sorted(second) == list(range(16, 32))
    assert [index - 16 for index in second] != list(first)


class Numbers:
    names = ["a"] * 6

    def __len__(self):
        return 6

    def sample(self, index, rng):
        return index + rng.integers(100)

    def collate(self, samples):
        return torch.tensor(samples * 1000)  # some kB


@pytest.mark.parametrize("free, used", [(0, 0), (60_000, 1), (1 << 40, 2)])
def test_as_many_processes_load_as_shared_memory_has_room_for(free, used, monkeypatch, caplog):
    loading._report.cache_clear()
    if not free:
        monkeypatch.setattr(shared_memory, "fault", lambda: "/dev/shm: no such folder")
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: free)
    steps = lambda: plan(0, 0, [Share(6, 1.0)], 2, 1)  # noqa: E731
    with caplog.at_level(logging.WARNING, logger="wsss_ros"):
        made = [load(Numbers(), 0, 0, steps(), slice(0, 2), 2, False) for _ in range(2)]
    assert [each.num_workers for each in made] == [used, used]
    assert len(caplog.records) == (used < 2)  # once, not for each phase
    expected = load(Numbers(), 0, 0, steps(), slice(0, 2), 0, False)
    if not used:
        assert all(torch.equal(a, b) for a, b in zip(made[0], expected, strict=True))
    else:
        assert list(made[0].batch_sampler) == list(expected.batch_sampler)  # the one that was measured is there
