"""Lines of a file that may be compressed, cut off or hostile, within bounds of size, and numbers as JSON gives them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from col.errors import InputError

__all__ = ["read_lines", "short", "to_number"]

_MOST_BYTES = 64 * 2**20
"""Bytes of a file, as stored and unpacked; half an hour of messages is below 10 MB, more is a mistake or a zip bomb."""
_MOST_LINES = 200_000
_LONGEST_LINE = 2**18
_CHUNK = 2**18
_GZIP_MAGIC = b"\x1f\x8b"


def to_number(value: object, low: float, high: float) -> float | None:
    """Return a JSON number as float, None where it is none, not finite or outside `low` to `high`."""
    if type(value) not in (int, float):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        return None
    return number if low <= number <= high else None


def short(value: object) -> object:
    """Return a value as it may stand in an error: one line, not long."""
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**15):
        return value
    try:
        text = " ".join(str(value).split())
    except ValueError:  # an integer of too many digits to print
        return "a very large integer"
    return text if len(text) <= 40 else text[:40] + "..."


def _gunzip(data: bytes, source: str, notes: list[str]) -> bytes:
    """Return what can be unpacked, at most `_MOST_BYTES`; a file that was cut or damaged gives what comes before."""
    out = bytearray()
    while data:
        unpack = zlib.decompressobj(wbits=31)
        try:
            while data and not unpack.eof:
                out += unpack.decompress(data, _CHUNK)
                data = unpack.unconsumed_tail
                if len(out) > _MOST_BYTES:
                    raise InputError(f"unpacks to more than {_MOST_BYTES >> 20} MB: too large for a run", source=source)
        except zlib.error as error:
            if not out:
                raise InputError("not a gzip file that can be unpacked", source=source) from error
            notes.append("gzip data is damaged: read up to the damage")
            break
        if not unpack.eof:
            notes.append("gzip data is cut off: read up to the cut")
            break
        data = unpack.unused_data
        if data and not data.startswith(_GZIP_MAGIC):
            notes.append("bytes after the end of the gzip data were ignored")
            break
    return bytes(out)


def read_lines(path: Path, source: str, notes: list[str]) -> Iterator[bytes]:
    """Yield the lines of a file that are not empty and not too long.

    Raises:
        InputError: the file cannot be read, is too large or has too many lines.
    """
    try:
        if not path.is_file():
            raise InputError("no such file (a .jsonl or .jsonl.gz recording is expected)", source=source)
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=source) from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"larger than {_MOST_BYTES >> 20} MB: too large for a run", source=source)
    if data.startswith(_GZIP_MAGIC):
        data = _gunzip(data, source, notes)
    start, count, too_long = 0, 0, 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        count += 1
        if count > _MOST_LINES:
            raise InputError(f"has more than {_MOST_LINES} lines: too many for a run", source=source)
        line = data[start:end].strip() if end - start <= _LONGEST_LINE else b""
        too_long += end - start > _LONGEST_LINE
        if line:
            yield line
        start = end + 1
    if too_long:
        notes.append(f"{too_long} lines of more than {_LONGEST_LINE >> 10} kB were skipped")
