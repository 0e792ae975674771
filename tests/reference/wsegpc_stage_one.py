"""Stage one of WSegPC written down step by step, in float64: weights are dictionaries, maps are read pixel by pixel.

Its networks are as small as can be. Images: one convolution whose kernels do not overlap, tanh, a linear layer. Clouds:
a linear layer on position and colour, batch normalisation, tanh, a linear layer.
"""

import math

import numpy as np
import torch
from reference import wsegpc
from reference.losses import classification_loss, image_to_point_loss, point_to_image_loss
from torch import Tensor

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
Weights = dict[str, Tensor]


def image_network(weights: Weights, images: Tensor) -> tuple[list[dict], list[dict]]:
    """Features and scores of each image, by (row, column) of a grid of cells."""
    kernel, features, scores = weights["backbone.weight"], [], []
    edge = kernel.shape[2]
    for image in images:
        normal = (image - MEAN[:, None, None]) / STD[:, None, None]
        at = {}
        for row, column in np.ndindex(image.shape[1] // edge, image.shape[2] // edge):
            patch = normal[:, row * edge : (row + 1) * edge, column * edge : (column + 1) * edge]
            at[row, column] = torch.tanh((kernel * patch).sum(dim=(1, 2, 3)) + weights["backbone.bias"])
        features.append(at)
        scores.append({cell: weights["head.weight"] @ z + weights["head.bias"] for cell, z in at.items()})
    return features, scores


def cloud_network(weights: Weights, xyz: Tensor, rgb: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Features and scores of all points. In training the statistics are those of the batch, and follow it."""
    z = torch.cat([xyz, rgb - 0.5], dim=-1) @ weights["backbone.weight"][:, :, 0].T + weights["backbone.bias"]
    if training:
        flat = z.flatten(0, 1)
        mean, var = flat.mean(dim=0), flat.var(dim=0, unbiased=False)
        for name, value in (("mean", mean), ("var", var * len(flat) / (len(flat) - 1))):
            weights[f"norm.running_{name}"] = 0.9 * weights[f"norm.running_{name}"] + 0.1 * value.detach()
        weights["norm.num_batches_tracked"] = weights["norm.num_batches_tracked"] + 1
    else:
        mean, var = weights["norm.running_mean"], weights["norm.running_var"]
    features = torch.tanh((z - mean) / (var + 1e-5).sqrt() * weights["norm.weight"] + weights["norm.bias"])
    return features, features @ weights["head.weight"].T + weights["head.bias"]


def read(cells: dict, u: float, v: float, size: int) -> Tensor:
    """A map at the position (u, v) of its image of this size in pixels, bilinear; constant beyond the outer centres."""
    edge = 1 + max(row for row, _ in cells)
    x, y = ((p + 0.5) * edge / size - 0.5 for p in (u, v))
    x, y = (min(max(p, 0.0), edge - 1.0) for p in (x, y))
    left, top = min(math.floor(x), edge - 2), min(math.floor(y), edge - 2)
    right, bottom = x - left, y - top
    return (1 - bottom) * ((1 - right) * cells[top, left] + right * cells[top, left + 1]) + bottom * (
        (1 - right) * cells[top + 1, left] + right * cells[top + 1, left + 1]
    )


def mix(xyz: Tensor, pair: tuple[int, int], share: np.ndarray) -> Tensor:
    """Mix3D: two clouds, each centred, the first one moved by a share of half its extent."""
    first, second = (xyz[k] - xyz[k].mean(dim=0) for k in pair)
    low, high = first.min(dim=0).values, first.max(dim=0).values
    return torch.cat([first + (low + torch.from_numpy(share) * (high - low)) / 2, second])


def distilled(name: str, learner: tuple, teacher: tuple, tags: Tensor, projection: Weights, temperature: float):
    """A loss of table 3 at the pairs of a scene. Sides are (features, scores), the teacher's without gradient."""
    if not len(learner[0]):
        return torch.zeros((), dtype=torch.float64)
    confidence = torch.sigmoid(teacher[1].max(dim=1).values)
    if name == "affinity":
        return point_to_image_loss(learner[0], teacher[0], confidence)
    if name == "cam":
        labels = [max(torch.nonzero(tags).flatten().tolist(), key=lambda c: float(row[c])) for row in teacher[1]]
        return image_to_point_loss(learner[1], torch.tensor(labels), confidence, "mean")
    projected = torch.stack([projection["weight"] @ row + projection["bias"] for row in learner[0]])
    if name == "mse":
        return wsegpc.mse_loss(projected, teacher[0])
    return wsegpc.contrastive_loss(projected, teacher[0], temperature)


class StageOne:
    """The weights of both networks, of their teachers and projections, and what changes them in a step."""

    def __init__(self, options, weights: dict[str, Weights], projections: dict[str, Weights], classes: int):
        self.options, self.steps = options, 0
        self.weights = {kind: _copied(own) for kind, own in weights.items()}
        self.projections = {kind: _copied(own) for kind, own in projections.items()}
        self.teachers = {kind: _copied(own) for kind, own in weights.items()}
        self.speed: dict[str, Tensor] = {}
        self.counters = {kind: wsegpc.FreeMatch(classes, options.eta) for kind in weights}

    def step(self, batch, mixed: tuple | None, lr: float, decay: float) -> dict[str, Tensor]:
        """One step of training; ``mixed`` is the pair of clouds that are joined and its random shares."""
        learned = {
            f"{kind}.{place}.{name}": (own, name)
            for place, part in (("network", self.weights), ("projection", self.projections))
            for kind, own in part.items()
            for name in own
            if "running" not in name and "tracked" not in name
        }
        for own, name in learned.values():
            own[name] = own[name].detach().requires_grad_()
        terms = self.losses(batch, mixed)
        values = [own[name] for own, name in learned.values()]
        gradients = torch.autograd.grad(sum(terms.values()), values, allow_unused=True)
        for (key, (own, name)), gradient in zip(learned.items(), gradients, strict=True):
            own[name] = own[name].detach()
            if gradient is None:
                continue
            # SGD with momentum
            gradient = gradient + decay * own[name]
            self.speed[key] = gradient + 0.9 * self.speed[key] if key in self.speed else gradient
            own[name] = own[name] - lr * self.speed[key]
        self.steps += 1
        for kind, teacher in self.teachers.items():
            keep = self.options.ema_decay if self.steps > 1 else 0.0
            for name, value in self.weights[kind].items():
                average = keep * teacher[name].double() + (1 - keep) * value.double()
                teacher[name] = average.to(value.dtype)
        return {name: value.detach() for name, value in terms.items()}

    def losses(self, batch, mixed: tuple | None) -> dict[str, Tensor]:
        """Eq. 9."""
        options, views = self.options, len(batch.images) // len(batch.xyz)
        z2, a2 = image_network(self.weights["image"], batch.images)
        xyz, rgb, tags, known = batch.xyz, batch.rgb, batch.cloud_tags, batch.cloud_known
        count = xyz.shape[1]
        if mixed:
            pair, share = mixed
            xyz, rgb = mix(xyz, pair, share)[None], torch.cat([rgb[k] for k in pair])[None]
            present = [max(float(tags[k][c]) for k in pair) for c in range(tags.shape[1])]
            judged = [present[c] or min(float(known[k][c]) for k in pair) for c in range(tags.shape[1])]
            tags, known = torch.tensor([present]).double(), torch.tensor([judged]).double()
        z3, a3 = cloud_network(self.weights["cloud"], xyz, rgb, training=True)
        of_clouds = classification_loss(torch.stack([scores.mean(dim=0) for scores in a3]), tags, known)
        if mixed:  # back to the clouds of the batch
            order = [mixed[0].index(k) for k in range(2)]
            z3, a3 = (torch.stack([values[0, k * count : (k + 1) * count] for k in order]) for values in (z3, a3))
        means = []
        for scene in range(len(batch.xyz)):
            cells = [row for k in range(scene * views, (scene + 1) * views) for row in a2[k].values()]
            means.append(sum(cells) / len(cells))
        of_images = classification_loss(torch.stack(means), batch.scene_tags, batch.scene_known)
        warmups = options.classification_warmup, options.guidance_warmup, options.rpc_warmup
        ramps = [min(1.0, (self.steps + 1) / warmup) for warmup in warmups]
        image_to_point, point_to_image = self.guidance(batch, views, (z2, a2), (z3, a3))
        return {
            "classification_2d": ramps[0] * of_images,
            "classification_3d": ramps[0] * of_clouds,
            "image_to_point": options.image_to_point * ramps[1] * image_to_point,
            "point_to_image": options.point_to_image * ramps[1] * point_to_image,
            "rpc_3d": options.rpc_3d * ramps[2] * self.points(batch, a3),
            "rpc_2d": options.rpc_2d * ramps[2] * self.pixels(batch, views, a2),
        }

    def guidance(self, batch, views: int, image: tuple, cloud: tuple) -> tuple[Tensor, Tensor]:
        """Section 3.2: eq. 1 in both directions, summed over the scenes, over all pairs of the views with enough."""
        options, size = self.options, batch.images.shape[-1]
        totals = [torch.zeros((), dtype=torch.float64)] * 2
        for scene, tags in enumerate(batch.scene_tags):
            sides: list[tuple] = []
            for k in range(scene * views, (scene + 1) * views):
                start = sum(batch.links_count[:k])
                rows = range(start, start + batch.links_count[k])
                for row in rows if len(rows) >= options.min_links else ():
                    u, v = batch.links_uv[row].tolist()
                    point = int(batch.links_point[row])
                    sides.append((*(read(maps[k], u, v, size) for maps in image), *(at[scene, point] for at in cloud)))
            z2, a2, z3, a3 = ([side[part] for side in sides] for part in range(4))
            of_image, of_cloud = ((torch.stack(z), torch.stack(a)) if z else (z, a) for z, a in ((z2, a2), (z3, a3)))
            for place, (name, kind, learner, teacher) in enumerate(
                (
                    (options.image_to_point_loss, "cloud", of_cloud, of_image),
                    (options.point_to_image_loss, "image", of_image, of_cloud),
                )
            ):
                taught = tuple(value.detach() if len(value) else value for value in teacher)
                projection = self.projections.get(kind, {})
                totals[place] = totals[place] + distilled(name, learner, taught, tags, projection, options.temperature)
        return totals[0], totals[1]

    def points(self, batch, student: Tensor) -> Tensor:
        """Section 3.3 for points."""
        taught = cloud_network(self.teachers["cloud"], batch.teacher_xyz, batch.rgb, training=False)[1].detach()
        probabilities = []
        for scene, scores in enumerate(taught):
            possible = _possible(batch.cloud_tags[scene], batch.cloud_known[scene])
            probabilities.append(wsegpc.regional_probabilities(scores, possible, self._regions(batch.region[scene])))
        return self.consistency("cloud", student.flatten(0, 1), torch.cat(probabilities))

    def pixels(self, batch, views: int, student: list[dict]) -> Tensor:
        """Section 3.3 for the pixels of the images, in cells, that the scene's tags may name."""
        size = batch.image_region.shape[-1]
        taught = image_network(self.teachers["image"], batch.teacher_images)[1]
        own, probabilities = [], []
        for k, region in enumerate(batch.image_region):
            cells = [(row, column) for row, column in np.ndindex(size, size) if region[row, column] != -2]
            scores = torch.stack([read(taught[k], column, row, size) for row, column in cells]).detach()
            possible = _possible(batch.scene_tags[k // views], batch.scene_known[k // views])
            numbers = self._regions(torch.stack([region[cell] for cell in cells]))
            probabilities.append(wsegpc.regional_probabilities(scores, possible, numbers))
            own += [read(student[k], column, row, size) for row, column in cells]
        return self.consistency("image", torch.stack(own), torch.cat(probabilities))

    def consistency(self, kind: str, student: Tensor, probabilities: Tensor) -> Tensor:
        """Eqs. 4-8."""
        eta = self.options.eta
        if self.options.threshold == "accumulated":
            return self.counters[kind].step(student, probabilities)
        counts = wsegpc.class_counts(probabilities)
        fixed = self.options.threshold == "fixed"
        threshold = [eta] * student.shape[1] if fixed else wsegpc.thresholds(counts, eta)
        return wsegpc.region_consistency_loss(student, probabilities, threshold)

    def _regions(self, region: Tensor) -> list[int]:
        return region.tolist() if self.options.consistency == "region" else [-1] * len(region)


def _possible(tags: Tensor, known: Tensor) -> list[bool]:
    return [bool(tag) or not judged for tag, judged in zip(tags.tolist(), known.tolist(), strict=True)]


def _copied(weights: Weights) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}
