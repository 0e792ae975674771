"""Damage to the bytes of a file, always the same for the same seed."""

import random
import re
import struct
import zlib

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORDS = (b"0", b"-1", b"1", b"255", b"65536", b"2147483648", b"4294967295", b"9223372036854775808", b"1e400", b"nan")
_WORDS += (b"", b"inf", b"-0.0", b"1e-320", b"true", b"null", b"x", b"9" * 5000, b"[]", b"{}", b"\xff\xfe", b"[" * 5000)
_PIECES = (b"\0", b"\xff" * 4, b"\n", b",", b"<", b'"', b"&a [*a]", b"\xe4", b": ", b"- ", b"{" * 3000, b"\t", b"#")
_PNG = b"\x89PNG\r\n\x1a\n"


def mutated(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """``data`` with one to eight faults; ``other`` is a file to take pieces from. The sums of a PNG stay right."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        changed = bytearray(rng.choice(_WAYS)(changed, rng, other))
    found = bytes(changed)
    return with_png_sums(found) if found.startswith(_PNG) and rng.random() < 0.8 else found


def _place(data: bytearray, rng: random.Random) -> int:
    """A place in the data; headers, at the start, and indices, at the end, are hit more often."""
    size, way = len(data), rng.random()
    if way < 0.5:
        return rng.randrange(min(size, 200) + 1)
    return rng.randrange(size + 1) if way < 0.8 else size - rng.randrange(min(size, 200) + 1)


def _bits(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    for _ in range(rng.choice((1, 1, 8)) if data else 0):
        data[min(_place(data, rng), len(data) - 1)] ^= 1 << rng.randrange(8)
    return data


def _cut(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    at = _place(data, rng)
    return data[:at] if rng.random() < 0.5 else data[:at] + data[at + rng.randrange(1, 40) :]


def _doubled(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    first, last = sorted((_place(data, rng), _place(data, rng)))
    return data[:last] + data[first : min(last, first + 5000)] + data[last:]


def _spliced(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    at, start = _place(data, rng), rng.randrange(len(other) + 1)
    piece = other[start : start + rng.choice((4, 40, 4000))] if other and rng.random() < 0.3 else rng.choice(_PIECES)
    return data[:at] + piece + data[at:]


def _number(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """Another number in the place of four or eight bytes."""
    order = rng.choice("<>")
    way, value = rng.choice(
        (
            *(("I", value) for value in (0, 1, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 1)),
            *(("Q", value) for value in (0, 2**32, 2**40, 2**63, 2**64 - 1)),
            *((kind, value) for kind in "fd" for value in (float("nan"), float("inf"), -1.0, 1e30)),
        )
    )
    at, packed = _place(data, rng), struct.pack(order + way, value)
    at = at // 4 * 4 if rng.random() < 0.5 else at
    return data[:at] + packed + data[at + len(packed) :]


def _word(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """Another word in the place of a number that is written in digits."""
    found = list(_NUMBER.finditer(data[:20_000]))
    if not found:
        return _number(data, rng, other)
    chosen = rng.choice(found)
    return data[: chosen.start()] + rng.choice(_WORDS) + data[chosen.end() :]


def _emptied(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    return bytearray() if rng.random() < 0.1 else _bits(data, rng, other)


_WAYS = (_bits, _cut, _doubled, _spliced, _number, _number, _word, _word, _emptied)


def with_png_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the sums of their content, so that damage is not refused by its sum alone."""
    at, parts = len(_PNG), [data[: len(_PNG)]]
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        content = data[at + 4 : at + 8 + length]
        parts += [data[at : at + 4], content, struct.pack(">I", zlib.crc32(content))]
        at += 12 + length
    return b"".join([*parts, data[at:]])
