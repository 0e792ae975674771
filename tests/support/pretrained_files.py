"""Files of pretrained ResNet38 weights, written byte by byte, and how a file is loaded or refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from wsss_ros.networks import pretrained
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
