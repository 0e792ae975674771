"""Pairs of two lists of times as ``associate.py`` of the TUM benchmark describes them: greedy, the nearest first."""


def associate(first: list[int], second: list[int], longest: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    every = sorted((abs(a - b), a, b) for a in first for b in second if abs(a - b) <= longest)
    for _, a, b in every:
        if all(a != taken and b != used for taken, used in pairs):
            pairs.append((a, b))
    return sorted(pairs)
