"""Damaged inputs for every reader: ``python -m fuzz.run --count 100000`` prints a table, and each kind of fault.

An input is named by the seed, its reader and its number, so that it can be made again: ``--only PLY --input 17``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from select import select

from fuzz.child import SECONDS, data_of
from fuzz.readers import Reader, readers

HANG_S = 120.0  # without an answer; a busy machine is not a fault, processor time is measured in the child


@dataclass
class Row:
    """What became of the inputs of a reader; ``faults`` are the numbers of inputs of each kind of fault."""

    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    most_mb: int = 0
    faults: dict[str, list[int]] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, number: int, found: dict) -> None:
        self.inputs += 1
        self.kinds[found["kind"]] += 1
        self.slowest_s = max(self.slowest_s, found["seconds"])
        self.most_mb = max(self.most_mb, found["mb"])
        if found["kind"] == "fault":
            self.faults.setdefault(found["text"].partition(": ")[0], []).append(number)
            self.examples.setdefault(found["text"].partition(": ")[0], found["text"])


def plan_of(there: list[Reader], count: int) -> list[tuple[str, int]]:
    """``count`` inputs, divided among the readers by their shares; at least the valid and the hard ones."""
    total = sum(reader.share for reader in there)
    least = {reader.name: len(reader.seeds) + len(reader.hard) for reader in there}
    left = max(0, count - sum(least.values()))
    return [(r.name, number) for r in there for number in range(least[r.name] + left * r.share // total)]


def answers(plan: list[tuple[str, int]], seed: str) -> Iterator[tuple[str, int, dict]]:
    """The outcome of each input of a plan; a child that dies is a fault of its input, and another one goes on."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    left = list(plan)
    while left:
        child = subprocess.Popen(
            [sys.executable, "-m", "fuzz.child", seed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            for name, number in left:
                child.stdin.write(json.dumps((name, number)) + "\n")
                child.stdin.flush()
                answer = _line(child)  # one line for one input, so that none waits in a buffer
                if not answer:
                    raise BrokenPipeError(name, number)
                yield name, number, json.loads(answer)
                left = left[1:]
        except BrokenPipeError:
            child.kill()
            name, number = left.pop(0)
            yield name, number, {"kind": "fault", "text": _death(child.wait()), "seconds": SECONDS, "mb": 0}
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()


def _line(child: subprocess.Popen) -> str:
    """The next line of a child, empty when it is dead or silent."""
    ready, _, _ = select([child.stdout], [], [], HANG_S)
    return child.stdout.readline() if ready else ""


def _death(status: int) -> str:
    if status == -27:
        return f"more than {SECONDS:g} s of processor time"
    return f"the process ended with status {status}"


def fuzz(there: list[Reader], count: int, seed: str, until_s: float = float("inf")) -> dict[str, Row]:
    """Read ``count`` inputs, or as many as the time allows, and return a row for each reader."""
    rows = {reader.name: Row() for reader in there}
    start, plan = time.monotonic(), plan_of(there, count)
    for name, number, found in answers(plan, seed):
        rows[name].add(number, found)
        if time.monotonic() - start > until_s:
            break
    return rows


def table(rows: dict[str, Row]) -> str:
    """The table of the rows in Markdown."""
    lines = ["| reader | inputs | results | refused | slowest s | most MB | kinds of faults |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    total = Row()
    for name, row in rows.items():
        total.inputs += row.inputs
        total.kinds += row.kinds
        total.slowest_s, total.most_mb = max(total.slowest_s, row.slowest_s), max(total.most_mb, row.most_mb)
        total.faults |= {f"{name}: {text}": numbers for text, numbers in row.faults.items()}
        lines.append(_table_line(name, row))
    return "\n".join([*lines, _table_line("all", total)])


def _table_line(name: str, row: Row) -> str:
    counts = f"{row.inputs} | {row.kinds['result']} | {row.kinds['refused']}"
    return f"| {name} | {counts} | {row.slowest_s:.2f} | {row.most_mb} | {len(row.faults)} |"


def faults(rows: dict[str, Row]) -> list[str]:
    """One line for each kind of fault, with the numbers of inputs."""
    return [
        f"{name}: {row.examples[text]}; {len(numbers)} inputs: {numbers[:5]}"
        for name, row in rows.items()
        for text, numbers in row.faults.items()
    ]


def main() -> None:
    """Read the arguments, and print the table; the status is 1 with faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="inputs in all")
    parser.add_argument("--seed", default="1", help="of the damage")
    parser.add_argument("--only", default="", help="names of readers, with commas")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after this time")
    parser.add_argument("--input", type=int, help="write this one input of the reader --only to out/fuzz/, and end")
    given = parser.parse_args()
    there = [reader for reader in readers() if not given.only or reader.name in given.only.split(",")]
    if given.input is not None:
        name, data = data_of(there[0], given.seed, given.input)
        path = Path("out/fuzz", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(path)
        return
    rows = fuzz(there, given.count, given.seed, given.seconds)
    print(table(rows), *faults(rows), sep="\n")
    sys.exit(bool(faults(rows)))


if __name__ == "__main__":
    main()
