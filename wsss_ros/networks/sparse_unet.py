"""The 3D network of 2D3DNet (Genova et al., 2021, G.2): a sparse U-Net with convolutions normalised by occupancy.

Points become voxels, whose input is the mean of their points; each point gets the features of its voxel. A block is two
3^3 convolutions. On the way down a maximum over 2^3 voxels follows each block, on the way up a copy to 2^3 voxels comes
before it. Each convolution is divided by the number of occupied voxels under its kernel, then normalised over the batch
(batch normalisation), then ReLU.
"""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.nn.functional import embedding

from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.minkunet import Norm, voxelise
from wsss_ros.networks.sparse import SparseConv, SparseTensor, max_pool, unpool
from wsss_ros.types import BadInput

Widths = Sequence[int]
ENCODER = ((64, 64), (64, 96), (96, 128), (128, 160), (160, 192), (192, 224), (224, 256))
BOTTLENECK = (256, 256)
DECODER = ((256, 256), (224, 224), (192, 192), (160, 160), (128, 128), (96, 96), (64, 64))
HEAD = (64, 64, 64)
PLACE = 4  # channels of ``voxelise`` in addition to the features of points: a 1, and the mean position in the voxel


class SparseUNet(Backbone):
    """From clouds to features per point.

    The paper's head ends in a 3^3 convolution to the classes. Here the last convolution of ``head`` has a fixed number
    of channels, and the linear head of the classifier follows. Both together are such a convolution if there are at
    least as many channels as classes.

    Args:
        in_features: number F of input features per point, in addition to xyz. Without any, the places of the points
            are the input, as with ``places``.
        voxel_m: edge of a voxel, metres: the paper has 0.2 for streets and 0.05 for nuScenes. Voxels have a corner at
            the origin.
        encoder: channels of the two convolutions of each level on the way down.
        bottleneck: channels of the two convolutions of the coarsest level.
        decoder: channels of the two convolutions of each level on the way up, from the coarsest; as many levels as the
            encoder has.
        head: channels of the convolutions after it. The last one has no batch normalisation and no ReLU; its channels
            are the features.
        kernel: edge of the kernels, voxels: 3, or 1 for a network without convolutions over neighbours.
        skips: join each level on the way up with that on the way down, as in a U-Net.
        places: have a constant 1 and the mean position of the points in the voxel as further inputs. The paper has not.

    Raises:
        BadInput: numbers of levels that differ, a level without channels, or voxels without size.
    """

    def __init__(
        self,
        in_features: int,
        voxel_m: float = 0.2,
        encoder: Sequence[Widths] = ENCODER,
        bottleneck: Widths = BOTTLENECK,
        decoder: Sequence[Widths] = DECODER,
        head: Widths = HEAD,
        kernel: int = 3,
        skips: bool = True,
        places: bool = False,
    ) -> None:
        super().__init__()
        _check(encoder, bottleneck, decoder, head, voxel_m)
        self.in_features, self.voxel_m, self.skips = in_features, voxel_m, skips
        self.inputs = in_features + (PLACE if places or not in_features else 0)
        before, down, up = self.inputs, [], []
        for widths in encoder:
            down.append(Layers(before, widths, kernel))
            before = widths[-1]
        self.bottleneck = Layers(before, bottleneck, kernel)
        before = bottleneck[-1]
        for widths, joined in zip(decoder, reversed(encoder), strict=True):
            up.append(Layers(before + (joined[-1] if skips else 0), widths, kernel))
            before = widths[-1]
        # A ModuleList does not know the type of its modules.
        self.down, self.up = cast(Sequence[Layers], nn.ModuleList(down)), cast(Sequence[Layers], nn.ModuleList(up))
        self.last = Layers(before, head, kernel, plain_end=True)
        self.out_channels = head[-1]

    def forward(self, xyz: Float[Tensor, "B N 3"], features: Float[Tensor, "B N F"]) -> Float[Tensor, "B N D"]:
        """Features of every point.

        Args:
            xyz: metres.
            features: input features.

        Raises:
            BadInput: what ``voxelise`` refuses, or another number of features than the network was built for.
        """
        if features.shape[2] != self.in_features:
            raise BadInput(f"{features.shape[2]} input features; the network was built for {self.in_features}")
        voxels, voxel_of_point = voxelise(xyz, features, self.voxel_m)
        return embedding(voxel_of_point, self.voxel_features(voxels).features)

    def voxel_features(self, voxels: SparseTensor) -> SparseTensor:
        """Features of every voxel of a level of stride 1, whose features are those of ``voxelise``."""
        x, levels = voxels.with_features(voxels.features[:, : self.inputs]), []
        for block in self.down:
            levels.append(block(x))
            x = max_pool(levels[-1])
        x = self.bottleneck(x)
        for block, joined in zip(self.up, reversed(levels), strict=True):
            x = unpool(x)
            x = block(x.with_features(cat([x.features, joined.features], 1)) if self.skips else x)
        return cast(SparseTensor, self.last(x))


class Layers(nn.Module):
    """Convolutions normalised by occupancy, each with batch normalisation and ReLU; ``plain_end``: not the last one."""

    def __init__(self, in_channels: int, widths: Widths, kernel: int, plain_end: bool = False) -> None:
        super().__init__()
        inputs = [in_channels, *widths[:-1]]
        convs = [SparseConv(a, b, kernel, normalised=True) for a, b in zip(inputs, widths, strict=True)]
        norms = [Norm(width) for width in (widths[:-1] if plain_end else widths)]
        self.convs, self.norms = nn.ModuleList(convs), nn.ModuleList(norms)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The block of ``x``."""
        for number, conv in enumerate(self.convs):
            x = conv(x)
            if number < len(self.norms):
                x = self.norms[number](x, activate=True)
        return x


def _check(
    encoder: Sequence[Widths], bottleneck: Widths, decoder: Sequence[Widths], head: Widths, voxel_m: float
) -> None:
    blocks = [*encoder, bottleneck, *decoder, head]
    if len(encoder) != len(decoder) or any(not widths or min(widths) < 1 for widths in blocks):
        raise BadInput(
            f"encoder {encoder}, bottleneck {bottleneck}, decoder {decoder}, head {head}; expected as many levels in "
            "the decoder as in the encoder, and channels above 0 for each convolution"
        )
    if not voxel_m > 0:
        raise BadInput(f"voxel_m is {voxel_m}; expected metres above 0")
