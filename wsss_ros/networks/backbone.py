"""What all backbones have in common."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """A network without a head: from images to a feature map, or from clouds to features per point.

    Attributes:
        out_channels: number D of channels of the features.
    """

    out_channels: int


class FreezableBackbone(Backbone):
    """A backbone that can be frozen: its batch normalisation then keeps its running statistics while it trains.

    ``pretrained.load`` freezes; a network without pretrained weights is not frozen. The state dict contains whether the
    network is frozen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    def without_gradient(self) -> Iterable[nn.Module]:
        """The parts of a frozen network that do not learn either; here none."""
        return ()

    def freeze(self, frozen: bool = True) -> None:
        """Freeze the network, or not."""
        self.frozen = frozen
        for part in self.without_gradient():
            part.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "FreezableBackbone":
        """Set training or evaluation mode. Batch normalisation of a frozen network stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and self.frozen:
                module.eval()
        return self

    def get_extra_state(self) -> Tensor:
        """Whether the network is frozen, for the state dict."""
        return torch.tensor(self.frozen)

    def set_extra_state(self, frozen: Tensor) -> None:
        """Freeze the network or not, as the state dict says."""
        self.freeze(bool(frozen))
