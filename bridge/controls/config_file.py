"""One number in a configuration file, on the line whose comment names the control.

    channel_bandwidth_MHz: 5  # rantwin: bandwidth_1

Everything else stays as it was written, in whatever format has `#` comments; nothing has to be understood of it.
"""

from __future__ import annotations

import re

from col.errors import InputError

__all__ = ["number_of", "with_number"]

_NUMBER = re.compile(r"(?P<before>.*[\s:=])(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?P<after>[\s,}\]]*)$")


def number_of(text: str, control: str, *, source: str = "") -> float:
    """Return the number on the control's line; InputError if there is no such line, or more than one."""
    _, found = _place(text, control, source)
    return float(found["number"])


def with_number(text: str, control: str, value: float, *, source: str = "") -> str:
    """Return the text with another number on the control's line."""
    at, found = _place(text, control, source)
    lines = text.splitlines(keepends=True)
    shown = str(int(value)) if value == int(value) else repr(float(value))
    tail = lines[at][lines[at].index("#") :]
    lines[at] = f"{found['before']}{shown}{found['after']}{tail}"
    return "".join(lines)


def _place(text: str, control: str, source: str) -> tuple[int, re.Match[str]]:
    mark = re.compile(rf"#\s*rantwin:\s*{re.escape(control)}\s*$")
    lines = [(i, line) for i, line in enumerate(text.splitlines()) if mark.search(line)]
    if len(lines) != 1:
        text = f"must have one line that ends with `# rantwin: {control}`, has {len(lines)}"
        raise InputError(text, source=source, key=control)
    at, line = lines[0]
    found = _NUMBER.match(line[: line.index("#")])
    if found is None:
        raise InputError("there is no number before the comment", source=source, key=control, value=line.strip())
    return at, found
