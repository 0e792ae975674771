"""Reads damaged inputs in a process of its own: ``python -m fuzz.child SEED``, with a plan on stdin.

Each line of the plan is the name of a reader and the number of an input, in JSON; each is answered by one line on
stdout: what became of it. A reading that takes more than 2 s of processor time ends this process by a signal, and one
that takes more than 1 GB ends in MemoryError.
"""

import json
import logging
import os
import random
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.mutations import mutated
from fuzz.readers import Reader, readers

from wsss_ros.types import BadInput

SECONDS, BYTES = 2.0, 1 << 30


def data_of(reader: Reader, seed: str, number: int) -> tuple[str, bytes]:
    """The name and the bytes of an input. The first ones are the valid files, then the hard ones."""
    names, hard = list(reader.seeds), list(reader.hard)
    if number < len(names):
        return names[number], reader.seeds[names[number]]
    if number < len(names) + len(hard):
        name = hard[number - len(names)]
        return name.partition(":")[0], reader.hard[name]
    rng = random.Random(f"{seed} {reader.name} {number}")
    name, other = rng.choice(names), rng.choice(names)
    return name, mutated(reader.seeds[name], rng, reader.seeds[other])


def put(folder: Path, reader: Reader, name: str, data: bytes) -> Path:
    """Write an input and the files next to it; returns its path."""
    for file, content in {**reader.others, name: data}.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / name


def _status(key: str) -> int:
    """A number of bytes of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) << 10


def _seconds() -> float:
    """The processor time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _limit(extra: int | None) -> None:
    """Let this process take ``extra`` bytes more than now; None: without limit."""
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if extra is None else _status("VmSize") + extra, most))


def _where(error: BaseException) -> str:
    """The last place in our code, and the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/wsss_ros/" in frame.filename] or frames[-1:]
    places = dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (ours[-1], frames[-1]))
    return f"{type(error).__name__} in {', '.join(places)}: {str(error)[:150]}"


def outcome(reader: Reader, path: Path) -> tuple[str, str]:
    """(result, refused or fault, what is wrong) of reading a path."""
    try:
        reader.read(path)
        return "result", ""
    except BadInput as error:
        return "refused", str(error)[:150]
    except Exception as error:
        return "fault", _where(error)


def measured(reader: Reader, path: Path) -> dict[str, object]:
    """The outcome within the limits, with the seconds and megabytes it took."""
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _status("VmHWM"), _seconds()
    _limit(BYTES)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        kind, text = outcome(reader, path)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _limit(None)
    seconds = _seconds() - start
    return {"kind": kind, "text": text, "seconds": seconds, "mb": (_status("VmHWM") - before) >> 20}


def main(seed: str) -> None:
    """Read the inputs of the plan, one after the other."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # also a loop in native code ends
    there = {reader.name: reader for reader in readers()}
    warm: set[str] = set()
    answer = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        name, number = json.loads(line)
        reader = there[name]
        if name not in warm:  # compiled functions and imports are not of an input
            warm.add(name)
            for seed_name, data in reader.seeds.items():
                with TemporaryDirectory() as folder:
                    outcome(reader, put(Path(folder), reader, seed_name, data))
        with TemporaryDirectory() as folder:
            path = put(Path(folder), reader, *data_of(reader, seed, number))
            answer.write(json.dumps(measured(reader, path)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
