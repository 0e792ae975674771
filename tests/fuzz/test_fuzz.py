"""Damaged inputs for every reader: each ends in a result or BadInput, within 2 s and 1 GB; and faults once found."""

import os

import pytest
from fuzz.readers import readers
from fuzz.run import faults, fuzz, plan_of, table

COUNT = int(os.environ.get("FUZZ", "2000"))
pytestmark = pytest.mark.slow


def test_damaged_inputs_are_read_or_refused():
    """FUZZ is the number of inputs; the first of each reader are its valid files, then the faults once found."""
    there = readers()
    rows = fuzz(there, COUNT, "1")
    print(table(rows))
    assert faults(rows) == []
    assert sum(row.inputs for row in rows.values()) == len(plan_of(there, COUNT)) > 0.95 * COUNT
    for reader in there:
        assert rows[reader.name].kinds["result"] >= len(reader.seeds), f"a valid file is refused: {reader.name}"
