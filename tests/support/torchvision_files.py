"""Random weights with the names and shapes of torchvision's ResNets."""

import torch

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def torchvision_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """The tensors of the state dict, by name."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{v}": (channels,) for v in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for layer, count in enumerate(BLOCKS[depth], start=1):
        middle = 32 * 2**layer
        out = middle if depth < 50 else 4 * middle
        for i in range(count):
            name = f"layer{layer}.{i}"
            basic = [(middle, before, 3, 3), (middle, middle, 3, 3)]
            bottleneck = [(middle, before, 1, 1), (middle, middle, 3, 3), (out, middle, 1, 1)]
            for number, shape in enumerate(basic if depth < 50 else bottleneck, start=1):
                shapes[f"{name}.conv{number}.weight"] = shape
                norm(f"{name}.bn{number}", shape[0])
            if before != out:
                shapes[f"{name}.downsample.0.weight"] = (out, before, 1, 1)
                norm(f"{name}.downsample.1", out)
            before = out
    shapes |= {"fc.weight": (1000, before), "fc.bias": (1000,)}
    return shapes


def torchvision_weights(depth: int) -> dict[str, torch.Tensor]:
    """Values in 0..1 for all of them."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7)
        for name, shape in torchvision_shapes(depth).items()
    }
