"""The ray caster of triangle meshes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64


def tensor(array: np.ndarray):
    """The array as a tensor of the ray caster."""
    import open3d

    return open3d.core.Tensor.from_numpy(np.ascontiguousarray(array))


def ray_caster(vertices: Sequence[Float64[np.ndarray, "_ 3"]], triangles: Sequence[Int64[np.ndarray, "_ 3"]]):
    """A ray caster of several meshes; their triangles are numbered on from mesh to mesh."""
    import open3d

    starts = np.cumsum([0, *(len(v) for v in vertices[:-1])])
    joined = np.concatenate([t + start for t, start in zip(triangles, starts, strict=True)])
    caster = open3d.t.geometry.RaycastingScene(nthreads=1)
    caster.add_triangles(tensor(np.concatenate(vertices).astype(np.float32)), tensor(joined.astype(np.uint32)))
    return caster
