"""The two ways to compute sparse convolutions."""

import pytest

from wsss_ros.networks import sparse_maps, sparse_product


@pytest.fixture(params=["numba", "torch"])
def way(request, monkeypatch) -> str:
    """Both ways to compute: compiled kernels, and the operations of torch that a GPU has."""
    if request.param == "torch":
        for module in (sparse_maps, sparse_product):
            monkeypatch.setattr(module, "compiled_on", lambda device: False)
    return request.param
