"""Generation of the missing parts of a data set, in several processes."""

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from wsss_ros.processes import shared_memory

log = logging.getLogger("wsss_ros")


def generate_missing(
    generate: Callable[..., Path],
    out_folder: str | Path,
    targets: dict[int, Path],
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Call ``generate(out_folder, seed, **options)`` for each seed whose target, a file or folder, does not exist.

    ``targets`` maps each seed to its target. ``progress(done, total)`` is called after each seed; both numbers include
    the targets that exist already. With several ``workers`` the calls run in parallel processes.

    Returns all targets in their order.
    """
    missing = [seed for seed, path in targets.items() if not path.exists()]
    done = len(targets) - len(missing)
    for _ in _generated(generate, out_folder, missing, workers, options):
        done += 1
        if progress:
            progress(done, len(targets))
    if progress and not missing:
        progress(done, len(targets))
    return list(targets.values())


def _generated(
    generate: Callable[..., Path], out_folder: str | Path, seeds: Sequence[int], workers: int, options: dict
) -> Iterator[Path]:
    if workers > 1 and (fault := shared_memory.fault()):
        log.warning("%s; one process generates instead of %d", fault, workers)
        workers = 1
    if workers <= 1 or len(seeds) <= 1:
        yield from (generate(out_folder, seed, **options) for seed in seeds)
        return
    # Spawn, not fork: the ray caster's threads do not survive a fork.
    with ProcessPoolExecutor(min(workers, len(seeds)), multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(generate, out_folder, seed, **options) for seed in seeds]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
