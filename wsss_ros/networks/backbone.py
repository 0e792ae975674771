"""What all backbones have in common."""

from torch import nn


class Backbone(nn.Module):
    """A network without a head: from images to a feature map, or from clouds to features per point.

    Attributes:
        out_channels: number D of channels of the features.
    """

    out_channels: int
