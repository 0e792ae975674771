"""Furnished rooms for several test files."""

import numpy as np
import pytest

from wsss_ros.rooms.layout.plan import plan
from wsss_ros.rooms.styles import DEFAULT, OTHER


@pytest.fixture(scope="session")
def plans():
    """A few rooms of each kind of the default style, furnished but not rendered."""
    return {k: [plan(k, np.random.default_rng([seed, 1]), DEFAULT) for seed in range(4)] for k in DEFAULT.kinds}


@pytest.fixture(scope="session")
def other_plans():
    """A few rooms of each kind of the style that no training sees."""
    return {k: [plan(k, np.random.default_rng([seed, 1]), OTHER) for seed in range(6)] for k in OTHER.kinds}
