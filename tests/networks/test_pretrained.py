"""Weights of others: files written here byte by byte, whole and broken."""

import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.networks import pretrained
from wsss_ros.networks.classifier import normalise_images
from wsss_ros.networks.resnet import ResNet
from wsss_ros.networks.resnet38 import ResNet38
from wsss_ros.types import BadInput

WIDTH = 1 / 64  # of the ResNet38 of most tests
HEADERS = ("legacy", "v1", "v2")
DTYPES = {"<f4": 0, "<f8": 1, "<f2": 2, "|u1": 3, "<i4": 4, "|i1": 5, "<i8": 6}


def mxnet_array(shape: tuple[int, ...], dtype: str, header: str) -> bytes:
    """What stands before the data of one array."""
    dims = {
        "legacy": struct.pack(f"<I{len(shape)}I", len(shape), *shape),
        "v1": struct.pack(f"<II{len(shape)}q", 0xF993FAC8, len(shape), *shape),
        "v2": struct.pack(f"<IiI{len(shape)}q", 0xF993FAC9, 0, len(shape), *shape),
    }[header]
    return dims + struct.pack("<iii", 2, 0, DTYPES[dtype])  # device 2: saved from a GPU


def mxnet_names(names: list[str]) -> bytes:
    return struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(n.encode())) + n.encode() for n in names)


def mxnet_file(arrays: dict[str, np.ndarray], header: str = "legacy") -> bytes:
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts += [mxnet_array(array.shape, array.dtype.str, header), array.tobytes()]
    return b"".join(parts) + mxnet_names(list(arrays))


def published_shapes(width: float = 1.0) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the published file, built up as its network was, level by level."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for prefix, value in (("arg", "gamma"), ("arg", "beta"), ("aux", "moving_mean"), ("aux", "moving_var")):
            shapes[f"{prefix}:{name}_{value}"] = (channels,)

    def block(name: str, channels: int, filters: list[int], kernels: list[int], shortcut: bool) -> int:
        before = channels
        for branch, wide, kernel in zip(("2a", "2b1", "2b2"), filters, kernels, strict=False):
            norm(f"bn{name}_branch{branch}", channels)
            shapes[f"arg:res{name}_branch{branch}_weight"] = (wide, channels, kernel, kernel)
            channels = wide
        if shortcut:
            shapes[f"arg:res{name}_branch1_weight"] = (channels, before, 1, 1)
        return channels

    def scaled(*filters: int) -> list[int]:
        return [int(width * f) for f in filters]

    channels = int(64 * width)
    shapes["arg:conv1a_weight"] = (channels, 3, 3, 3)
    levels = {2: (3, scaled(128, 128)), 3: (3, scaled(256, 256)), 4: (6, scaled(512, 512)), 5: (3, scaled(512, 1024))}
    for level, (count, filters) in levels.items():
        channels = block(f"{level}a", channels, filters, [3, 3], shortcut=True)
        for i in range(1, count):
            channels = block(f"{level}b{i}", channels, filters, [3, 3], shortcut=False)
    channels = block("6a", channels, scaled(512, 1024, 2048), [1, 3, 1], shortcut=True)
    channels = block("7a", channels, scaled(1024, 2048, 4096), [1, 3, 1], shortcut=True)
    norm("bn7", channels)
    shapes["arg:linear1000_weight"] = (1000, channels)
    shapes["arg:linear1000_bias"] = (1000,)
    return shapes


def small_arrays(dtype: str = "<f4") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.01, 0.1, shape).astype(dtype) for name, shape in published_shapes(WIDTH).items()}


def own_name(published: str) -> str:
    """The other way round than pretrained.mxnet_name, by its letters."""
    values = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
    kind, level, repeat, branch, value = re.fullmatch(
        r"a..:(conv|res|bn)(\d)(?:a|b(\d))?(?:_branch(\w+?))?_([a-z_]+)", published
    ).groups()
    value = values.get(value, value)
    if branch is None:
        return {"conv1": f"conv1a.{value}", "bn7": f"bn7.{value}"}[kind + level]
    block = f"blocks.b{level}" + (f"_{repeat}" if repeat else "")
    return f"{block}.{'conv' if kind == 'res' else 'bn'}_{branch}.{value}"


def torchvision_shapes(counts: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ResNets of basic blocks."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{v}": (channels,) for v in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for layer, count in enumerate(counts, start=1):
        channels = 32 * 2**layer
        for i in range(count):
            name = f"layer{layer}.{i}"
            shapes[f"{name}.conv1.weight"] = (channels, before, 3, 3)
            norm(f"{name}.bn1", channels)
            shapes[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            norm(f"{name}.bn2", channels)
            if before != channels:
                shapes[f"{name}.downsample.0.weight"] = (channels, before, 1, 1)
                norm(f"{name}.downsample.1", channels)
            before = channels
    shapes |= {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    return shapes


def torchvision_weights(counts: tuple[int, ...]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in torchvision_shapes(counts).items()
    }


def empty(network: type, *options) -> torch.nn.Module:
    """Without the time that random weights take."""
    with torch.device("meta"):
        net = network(*options)
    net = net.to_empty(device="cpu")
    for value in net.state_dict().values():
        value.fill_(1)
    return net


def held(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def refused(net: torch.nn.Module, path: Path) -> str:
    """The one line with which ``path`` is refused; the network is as it was."""
    before = held(net)
    with pytest.raises(BadInput) as caught:
        pretrained.load(net, path)
    after = net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000
    return str(caught.value)


# --- the file of ResNet38


def test_names_of_the_published_file_are_those_of_the_network():
    with torch.device("meta"):
        own = {name: value for name, value in ResNet38().state_dict().items() if "num_batches" not in name}
    published = {name: shape for name, shape in published_shapes().items() if "linear1000" not in name}
    learnt = [np.prod(shape) for name, shape in published.items() if "moving" not in name]
    assert sum(learnt) == 105_070_912
    assert {own_name(name): shape for name, shape in published.items()} == {
        name: tuple(value.shape) for name, value in own.items() if name != "_extra_state"
    }
    assert {pretrained.mxnet_name(own_name(name)) for name in published} == set(published)


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


WHOLE_FILES = {header: mxnet_file(small_arrays(), header) for header in HEADERS}
WHOLE = WHOLE_FILES["legacy"]
FIRST = 24  # where the first array starts: its number of dimensions, 4 lengths, device, type


@pytest.mark.parametrize(
    ("at", "layout", "value", "words"),
    [
        (16, "<Q", 2**63, "arrays"),
        (16, "<Q", 190, "cut off or broken|broken MXNet"),
        (FIRST, "<I", 0, "0 dimensions"),
        (FIRST, "<I", 2**31, "dimensions"),
        (FIRST + 4, "<I", 2**32 - 1, "cut off or broken"),
        (FIRST + 4, "<I", 0, r"shape \[0, 3, 3, 3\]"),
        (FIRST + 28, "<i", 7, "type 7"),
        (FIRST + 28, "<i", -1, "type -1"),
        (len(WHOLE) - len("arg:linear1000_bias") - 8, "<Q", 2**62, "letters of a name"),
        (len(WHOLE) - len("arg:linear1000_bias"), "<H", 0xFFFF, "the name"),
        (len(WHOLE) - len(mxnet_names(list(small_arrays()))), "<Q", 5, "another number of names"),
    ],
)
def test_broken_headers(tmp_path, at, layout, value, words):
    """Numbers too large to be true are refused without a try to fetch so much."""
    broken = bytearray(WHOLE)
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
    path.write_bytes(WHOLE + b"more")
    assert "4 bytes after the last name" in refused(net, path)
    path.write_bytes(WHOLE.replace(b"arg:res2b1_branch2a_weight", b"arg:res2b2_branch2a_weight"))
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
    whole = WHOLE_FILES[header]
    near_an_end = st.integers(0, 400) | st.integers(len(whole) - 9000, len(whole) - 1)
    scratch.write_bytes(whole[: data.draw(near_an_end | st.integers(0, len(whole) - 1))])
    refused(small_net, scratch)


@settings(max_examples=40)
@given(header=st.sampled_from(HEADERS), data=st.data())
def test_any_damage_is_refused_or_harmless(scratch, small_net, header, data):
    """Four wrong bytes somewhere in the first headers or the names."""
    damaged = bytearray(WHOLE_FILES[header])
    at = data.draw(st.integers(0, 160) | st.integers(len(damaged) - 7000, len(damaged) - 4))
    damaged[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    scratch.write_bytes(damaged)
    try:
        pretrained.load(small_net, scratch)
    except BadInput as error:
        assert "\n" not in str(error)
    assert all(value.isfinite().all() for value in small_net.state_dict().values())


# --- state dicts of torch


def write_zip(weights, path: Path) -> None:
    torch.save(weights, path)


def write_pickle(weights, path: Path) -> None:
    torch.save(weights, path, _use_new_zipfile_serialization=False)


WRITERS = {"zip": write_zip, "pickle": write_pickle, "safetensors": safetensors.torch.save_file}


@pytest.mark.parametrize("writer", WRITERS)
def test_torchvision_s_resnet18(tmp_path, writer):
    weights, path, net = torchvision_weights((2, 2, 2, 2)), tmp_path / "weights.bin", empty(ResNet, 18, 1.0)
    assert len(weights) == 122
    WRITERS[writer](weights, path)
    pretrained.load(net, path)
    own = net.state_dict()
    assert own.keys() == weights.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, weights[name]) for name, value in own.items())
    assert net.bn1.weight.requires_grad and net.train().bn1.training


def test_torchvision_s_resnet34_without_counts_of_batches(tmp_path):
    weights = {n: v.half() for n, v in torchvision_weights((3, 4, 6, 3)).items() if "num_batches" not in n}
    net = empty(ResNet, 34, 1.0, 16)
    torch.save(weights, tmp_path / "a")
    pretrained.load(net, tmp_path / "a")
    assert net.conv1.weight.dtype == torch.float32
    assert torch.equal(net.layer4[2].conv2.weight, weights["layer4.2.conv2.weight"].float())


def narrow(width: float = 0.0625) -> tuple[ResNet, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return ResNet(18, width), ResNet(18, width).state_dict()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("bn1.running_var"), "1 missing: bn1.running_var"),
        (lambda w: w.update({"layer1.0.conv3.weight": torch.ones(4)}), "1 unknown: layer1.0.conv3.weight"),
        (lambda w: w.update({"bn1.bias": torch.ones(5)}), r"another shape: bn1.bias \[5\] for \[4\]"),
        (lambda w: w.update({"bn1.bias": torch.ones(4, dtype=torch.int8)}), "another type: bn1.bias torch.int8"),
        (lambda w: w.update({"bn1.bias": torch.ones(4).to_sparse()}), "another type: bn1.bias"),
        (lambda w: w.update({"bn1.bias": torch.tensor([0, 0, 0, torch.inf])}), "not finite: bn1.bias"),
        (lambda w: w.update({"epoch": 3}), "epoch are no tensors"),
    ],
)
def test_differing_state_dicts_are_refused_by_name(tmp_path, change, words):
    net, weights = narrow()
    change(weights)
    torch.save(weights, tmp_path / "a")
    assert re.search(words, refused(net, tmp_path / "a"))


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=20)
@given(data=st.data())
def test_truncated_state_dicts(scratch, writer, data):
    net, weights = narrow()
    WRITERS[writer](weights, scratch)
    whole = scratch.read_bytes()
    near_an_end = st.integers(0, 400) | st.integers(len(whole) - 9000, len(whole) - 1)
    scratch.write_bytes(whole[: data.draw(near_an_end | st.integers(0, len(whole) - 1))])
    refused(net, scratch)


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def test_code_in_a_pickle_never_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for writer in (write_zip, write_pickle):
        writer({"conv1.weight": Harmful()}, tmp_path / "a")
        assert "UnpicklingError" in refused(narrow()[0], tmp_path / "a")
    assert not (tmp_path / "harm").exists()


# --- files of the wrong kind


def test_each_network_wants_its_own_file(tmp_path):
    path, (light, weights) = tmp_path / "a", narrow()
    path.write_bytes(WHOLE)
    assert "fills a ResNet38, not a ResNet" in refused(light, path)
    torch.save(weights, path)
    message = refused(ResNet38(WIDTH), path)
    assert "missing: conv1a.weight" in message and "unknown: conv1.weight" in message
    assert "of another shape" in refused(ResNet(18, 0.125), path)
    assert "missing: layer1.2.conv1.weight" in refused(ResNet(34, 0.0625), path)
    torch.save([1, 2], path)
    assert "holds a list" in refused(light, path)


@pytest.mark.parametrize("content", [b"", b"\x12\x01", b"<html>404</html>", b"\0" * 4096, b"PK\x03\x04", b"\x80\x02"])
def test_files_of_no_such_kind(tmp_path, content):
    (tmp_path / "a.params").write_bytes(content)
    assert "download it anew" in refused(narrow()[0], tmp_path / "a.params")


def test_no_file(tmp_path):
    assert "No such file" in refused(narrow()[0], tmp_path / "absent.pth")
    assert "directory" in refused(narrow()[0], tmp_path)


def test_images_are_prepared_as_these_weights_expect():
    """RGB / 255, minus the mean, by the deviation: stated with the published file and by torchvision alike."""
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = (rgb / 255.0 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    prepared = normalise_images(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
    np.testing.assert_allclose(prepared[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
