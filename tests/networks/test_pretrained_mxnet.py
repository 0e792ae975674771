"""Pretrained weights of ResNet38: complete, differing, broken and truncated MXNet files."""

import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pretrained_files import (
    HEADERS,
    WIDTH,
    empty,
    mxnet_array,
    mxnet_file,
    mxnet_names,
    published_shapes,
    refused,
    small_arrays,
)

from wsss_ros.networks import pretrained
from wsss_ros.networks.pretrained_mxnet import mxnet_name
from wsss_ros.networks.resnet38 import ResNet38
from wsss_ros.types import BadInput


def own_name(published: str) -> str:
    """The other way round than pretrained_mxnet.mxnet_name, by its letters."""
    values = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
    kind, level, repeat, branch, value = re.fullmatch(
        r"a..:(conv|res|bn)(\d)(?:a|b(\d))?(?:_branch(\w+?))?_([a-z_]+)", published
    ).groups()
    value = values.get(value, value)
    if branch is None:
        return {"conv1": f"conv1a.{value}", "bn7": f"bn7.{value}"}[kind + level]
    block = f"blocks.b{level}" + (f"_{repeat}" if repeat else "")
    return f"{block}.{'conv' if kind == 'res' else 'bn'}_{branch}.{value}"


def test_names_of_the_published_file_are_those_of_the_network():
    with torch.device("meta"):
        own = {name: value for name, value in ResNet38().state_dict().items() if "num_batches" not in name}
    published = {name: shape for name, shape in published_shapes().items() if "linear1000" not in name}
    learnt = [np.prod(shape) for name, shape in published.items() if "moving" not in name]
    assert sum(learnt) == 105_070_912
    assert {own_name(name): shape for name, shape in published.items()} == {
        name: tuple(value.shape) for name, value in own.items() if name != "_extra_state"
    }
    assert {mxnet_name(own_name(name)) for name in published} == set(published)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2"])
def test_every_weight_arrives(tmp_path, header, dtype):
    path, arrays, net = tmp_path / "a.params", small_arrays(dtype), ResNet38(WIDTH)
    path.write_bytes(mxnet_file(arrays, header))
    pretrained.load(net, path)
    own = net.state_dict()
    for name, array in arrays.items():
        if "linear1000" not in name:
            assert torch.equal(own[own_name(name)], torch.from_numpy(array.astype(np.float32)))


def test_a_loaded_network_is_frozen_and_computes(tmp_path):
    (tmp_path / "a").write_bytes(mxnet_file(small_arrays()))
    net = ResNet38(WIDTH)
    pretrained.load(net.train(), tmp_path / "a")
    norms = [part for part in net.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert net.training and not any(norm.training or norm.weight.requires_grad for norm in norms)
    assert net(torch.rand(1, 3, 32, 32)).isfinite().all()


def test_arrays_off_the_machine_s_alignment(tmp_path):
    """An odd number of half-precision values before the others, as no writer but a mixed one leaves them."""
    arrays = small_arrays()
    arrays["arg:linear1000_bias"] = np.zeros(1001, np.float16)
    arrays = {"arg:linear1000_bias": arrays.pop("arg:linear1000_bias"), **arrays}
    arrays["arg:bn7_beta"] = arrays["arg:bn7_beta"].astype("<f8")
    (tmp_path / "a").write_bytes(mxnet_file(arrays))
    net = ResNet38(WIDTH)
    pretrained.load(net, tmp_path / "a")
    assert torch.equal(net.conv1a.weight, torch.from_numpy(arrays["arg:conv1a_weight"]))
    assert torch.equal(net.bn7.bias, torch.from_numpy(arrays["arg:bn7_beta"]).float())


@pytest.mark.slow
def test_the_published_size(tmp_path):
    """437 MB, most of them a hole in the file; a few arrays have values."""
    path, shapes, size = tmp_path / "full.params", published_shapes(), 0
    marked = {"arg:conv1a_weight": 1, "arg:res4b3_branch2b1_weight": 2, "aux:bn7_moving_var": 3}
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, len(shapes)))
        for name, shape in shapes.items():
            file.write(mxnet_array(shape, "<f4", "legacy"))
            size = 4 * int(np.prod(shape))
            if name in marked:
                file.write(np.full(shape, marked[name], "<f4").tobytes())
            else:
                file.seek(size, 1)
        file.write(mxnet_names(list(shapes)))
    assert 436e6 < path.stat().st_size < 438e6
    net = empty(ResNet38)
    pretrained.load(net, path)
    own = net.state_dict()
    for name in shapes:
        if "linear1000" not in name:
            assert (own[own_name(name)] == marked.get(name, 0)).all()
    assert not net.blocks.b2_2.conv_2a.weight.requires_grad and net.blocks.b3.conv_2a.weight.requires_grad


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("arg:res6a_branch1_weight"), "1 missing: arg:res6a_branch1_weight"),
        (lambda a: a.update({"arg:res2b3_branch2a_weight": np.ones(3, "<f4")}), "1 unknown: arg:res2b3_branch2a"),
        (lambda a: a.update({"arg:two\nlines": np.ones(3, "<f4")}), r"1 unknown: arg:two\\nlines"),
        (lambda a: a.update({"arg:bn7_beta": np.ones(7, "<f4")}), r"another shape: arg:bn7_beta \[7\] for \[64\]"),
        (lambda a: a.update({"arg:bn7_beta": np.ones(64, "<i4")}), "another type: arg:bn7_beta torch.int32"),
        (lambda a: a.update({"arg:bn7_beta": np.full(64, np.nan, "<f4")}), "1 weights are not finite: arg:bn7_beta"),
        (lambda a: a.update({"arg:bn7_beta": np.full(64, 1e300)}), "1 weights are not finite: arg:bn7_beta"),
        (lambda a: a.update({"aux:bn7_moving_var": np.full(64, -1.0)}), "below zero: aux:bn7_moving_var"),
        (lambda a: [a.pop(n) for n in list(a)[::2]], r"\d+ missing: arg:conv1a_weight, [^;]+, \.\.\."),
        (lambda a: a.clear(), "191 missing"),
    ],
)
def test_differing_files_are_refused_by_name(tmp_path, change, words):
    arrays = small_arrays()
    change(arrays)
    (tmp_path / "a").write_bytes(mxnet_file(arrays))
    assert re.search(words, refused(ResNet38(WIDTH), tmp_path / "a"))


COMPLETE_FILES = {header: mxnet_file(small_arrays(), header) for header in HEADERS}
COMPLETE = COMPLETE_FILES["legacy"]
FIRST = 24  # where the first array starts: its number of dimensions, 4 lengths, device, type


@pytest.mark.parametrize(
    ("at", "layout", "value", "words"),
    [
        (16, "<Q", 2**63, "arrays"),
        (16, "<Q", 190, "truncated or broken|broken MXNet"),
        (FIRST, "<I", 0, "0 dimensions"),
        (FIRST, "<I", 2**31, "dimensions"),
        (FIRST + 4, "<I", 2**32 - 1, "truncated or broken"),
        (FIRST + 4, "<I", 0, r"shape \[0, 3, 3, 3\]"),
        (FIRST + 28, "<i", 7, "type 7"),
        (FIRST + 28, "<i", -1, "type -1"),
        (len(COMPLETE) - len("arg:linear1000_bias") - 8, "<Q", 2**62, "letters of a name"),
        (len(COMPLETE) - len("arg:linear1000_bias"), "<H", 0xFFFF, "the name"),
        (len(COMPLETE) - len(mxnet_names(list(small_arrays()))), "<Q", 5, "another number of names"),
    ],
)
def test_broken_headers(tmp_path, at, layout, value, words):
    """Numbers too large to be true are refused without a try to fetch so much."""
    broken = bytearray(COMPLETE)
    struct.pack_into(layout, broken, at, value)
    (tmp_path / "a").write_bytes(broken)
    net = ResNet38(WIDTH)
    tracemalloc.start()
    try:
        message = refused(net, tmp_path / "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert re.search(words, message) and peak < 4e6


def test_other_oddities_of_the_format(tmp_path):
    arrays, path, net = small_arrays(), tmp_path / "a", ResNet38(WIDTH)
    path.write_bytes(COMPLETE + b"more")
    assert "4 bytes after the last name" in refused(net, path)
    path.write_bytes(COMPLETE.replace(b"arg:res2b1_branch2a_weight", b"arg:res2b2_branch2a_weight"))
    assert "arg:res2b2_branch2a_weight more than once" in refused(net, path)
    sparse = bytearray(mxnet_file(arrays, "v2"))
    struct.pack_into("<i", sparse, FIRST + 4, 1)
    path.write_bytes(sparse)
    assert "sparse" in refused(net, path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file"


@pytest.fixture(scope="module")
def small_net() -> ResNet38:
    return ResNet38(WIDTH)


@settings(max_examples=40)
@given(header=st.sampled_from(HEADERS), data=st.data())
def test_truncated_anywhere(scratch, small_net, header, data):
    complete = COMPLETE_FILES[header]
    near_an_end = st.integers(0, 400) | st.integers(len(complete) - 9000, len(complete) - 1)
    scratch.write_bytes(complete[: data.draw(near_an_end | st.integers(0, len(complete) - 1))])
    refused(small_net, scratch)


@settings(max_examples=40)
@given(header=st.sampled_from(HEADERS), data=st.data())
def test_any_damage_is_refused_or_harmless(scratch, small_net, header, data):
    """Four wrong bytes somewhere in the first headers or the names."""
    damaged = bytearray(COMPLETE_FILES[header])
    at = data.draw(st.integers(0, 160) | st.integers(len(damaged) - 7000, len(damaged) - 4))
    damaged[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    scratch.write_bytes(damaged)
    message = ""
    try:
        pretrained.load(small_net, scratch)
    except BadInput as error:
        message = str(error)
    assert "\n" not in message
    assert all(value.isfinite().all() for value in small_net.state_dict().values())
