"""Making the missing parts of a generated data set, in several processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path


def make_missing(
    make: Callable[..., Path],
    out_folder: str | Path,
    targets: dict[int, Path],
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Call ``make(out_folder, seed, **options)`` for each seed of ``targets`` whose file or folder is not there.

    ``progress(done, total)`` is called after each. With several ``workers`` they run in processes of their own.
    Returns all targets, in their order.
    """
    missing = [seed for seed, path in targets.items() if not path.exists()]
    done = len(targets) - len(missing)
    for _ in _made(make, out_folder, missing, workers, options):
        done += 1
        if progress:
            progress(done, len(targets))
    if progress and not missing:
        progress(done, len(targets))
    return list(targets.values())


def _made(
    make: Callable[..., Path], out_folder: str | Path, seeds: Sequence[int], workers: int, options: dict
) -> Iterator[Path]:
    if workers <= 1 or len(seeds) <= 1:
        yield from (make(out_folder, seed, **options) for seed in seeds)
        return
    # spawned, not forked: the ray caster's threads do not survive a fork
    with ProcessPoolExecutor(min(workers, len(seeds)), multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(make, out_folder, seed, **options) for seed in seeds]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
