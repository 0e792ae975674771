"""Mix3D of a batch: its clouds are joined in pairs, section 3.3 of WSegPC."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from wsss_ros.samples.augment_tags import mixed_pairs, mixed_points, union_tags
from wsss_ros.samples.samples import CloudBatch


@dataclass(frozen=True)
class Mix:
    """Which clouds of a batch are joined, and where each of them is then.

    With an odd number one cloud is in two pairs; it is then read from the first. A batch of one cloud stays as it is.
    """

    pairs: Int64[np.ndarray, "P 2"]
    rng: np.random.Generator

    def clouds(self, batch: CloudBatch) -> CloudBatch:
        """The joined clouds with the tags of both. The source of a pair is that of its first cloud."""
        tags, known = zip(*(self._union(batch, pair) for pair in self.pairs), strict=True)
        first = torch.from_numpy(self.pairs[:, 0]).to(batch.xyz.device)
        return CloudBatch(
            xyz=self.points(batch.xyz),
            rgb=None if batch.rgb is None else self.joined(batch.rgb),
            cloud_tags=torch.stack(tags),
            cloud_known=torch.stack(known),
            cloud_source=None if batch.cloud_source is None else batch.cloud_source[first],
        )

    def points(self, xyz: Float[Tensor, "B N 3"]) -> Float[Tensor, "P N2 3"]:
        """The points of the joined clouds, the first ones moved at random."""
        clouds = xyz.cpu().numpy()
        joined = [mixed_points(clouds[one], clouds[other], self.rng).astype(clouds.dtype) for one, other in self.pairs]
        return torch.from_numpy(np.stack(joined)).to(xyz.device)

    def joined(self, values: Float[Tensor, "B N D"]) -> Float[Tensor, "P N2 D"]:
        """The values of the points of the joined clouds."""
        return torch.stack([torch.cat([values[one], values[other]]) for one, other in self.pairs.tolist()])

    def own(self, values: Float[Tensor, "P N2 D"]) -> Float[Tensor, "B N D"]:
        """The values of the points of each cloud of the batch."""
        place = {cloud: at for at, cloud in reversed(list(enumerate(self.pairs.flatten().tolist())))}
        rows = torch.tensor([place[cloud] for cloud in range(len(place))], device=values.device)
        return values.unflatten(1, (2, -1)).flatten(0, 1)[rows]

    @staticmethod
    def _union(batch: CloudBatch, pair: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = (values[pair.tolist()].cpu().numpy() for values in (batch.cloud_tags, batch.cloud_known))
        tags, known = (torch.from_numpy(row).to(batch.xyz.device) for row in union_tags(*rows))
        return tags, known


def random_mix(clouds: int) -> Mix | None:
    """Random pairs of all clouds of a batch, drawn from torch's random numbers; None for a single cloud."""
    if clouds < 2:
        return None
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    pairs = mixed_pairs(clouds, 1.0, rng)
    left = sorted(set(range(clouds)) - set(pairs.flatten().tolist()))
    if left:
        partner = int(rng.choice([cloud for cloud in range(clouds) if cloud != left[0]]))
        pairs = np.concatenate([pairs, [[left[0], partner]]])
    return Mix(pairs, rng)
