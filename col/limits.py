"""Limits by control, or by kind of control: the longest name that a control's name begins with counts."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["limit_of"]


def limit_of(control: str, limits: Mapping[str, float]) -> float | None:
    """Return the limit that holds for a control, None where none does.

    `cpu_du` stands for `cpu_du_1` and `cpu_du_12`; `cpu_du_1` does not stand for `cpu_du_12`; an empty name stands for
    every control.
    """
    fitting = [name for name in limits if control.startswith(name) and not _cuts_a_number(name, control)]
    return limits[max(fitting, key=len)] if fitting else None


def _cuts_a_number(name: str, control: str) -> bool:
    return 0 < len(name) < len(control) and name[-1].isdigit() and control[len(name)].isdigit()
