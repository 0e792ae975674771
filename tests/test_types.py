"""Helpers next to the shared types."""

import pytest

from wsss_ros.types import few_of


@pytest.mark.parametrize(
    ("items", "options", "text"),
    [
        ([], {}, ""),
        (["a", "b"], {}, "a, b"),
        (range(5), {}, "0, 1, 2, 3, 4"),
        (range(7), {}, "0, 1, 2, 3, 4 and 2 more"),
        ((str(n) for n in range(4)), {"most": 3, "between": "; "}, "0; 1; 2 and 1 more"),
    ],
)
def test_messages_name_the_first_of_many(items, options, text):
    assert few_of(items, **options) == text
