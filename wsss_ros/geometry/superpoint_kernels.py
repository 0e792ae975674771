"""The numba kernel of superpoints.py: histograms of the products of normals."""

from typing import no_type_check

from wsss_ros.geometry.compiled import compiled


@compiled
@no_type_check
def normal_products(start, stop, normal, first, most, zeros, counts):
    """Count the products of the normals of all pairs of each superpoint in bins of equal width from -1 to 1.

    A normal is a pair with itself, too. The normals of superpoint i are the rows ``first[i]`` to ``first[i + 1]``, of
    which ``most`` are used. With ``zeros``, each pair of two different ones also counts as a product of 0.
    """
    bins = counts.shape[1]
    for superpoint in range(start, stop):
        low = first[superpoint]
        high = min(first[superpoint + 1], low + most)
        for i in range(low, high):
            a, b, c = normal[i, 0], normal[i, 1], normal[i, 2]
            for j in range(i, high):
                product = a * normal[j, 0] + b * normal[j, 1] + c * normal[j, 2]
                place = int((product + 1.0) * 0.5 * bins)
                counts[superpoint, min(max(place, 0), bins - 1)] += 1.0
        if zeros:
            number = high - low
            counts[superpoint, min(bins // 2, bins - 1)] += 0.5 * number * (number - 1)
