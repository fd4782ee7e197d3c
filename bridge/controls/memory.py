"""What a driver of write-only controls has to remember across a restart of the agent: one small file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bridge.controls.driver import Proof
from col.errors import InputError

__all__ = ["Held", "Memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A value that was sent to the process that started at `started_at`, and the one that was in force before."""

    value: float
    before: float
    proof: Proof
    started_at: str
    is_return: bool = False
    is_undone: bool = False
    text: str = ""

    @property
    def in_force(self) -> float:
        """What counts as in force."""
        return self.before if self.proof is Proof.NONE else self.value


class Memory:
    """Held values by control, on disk before anything that they are about is done."""

    def __init__(self, path: Path) -> None:
        """Take the file; InputError if there is one that is not of this kind."""
        self._path = path
        self._held: dict[str, Held] = {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            self._held = {
                str(name): replace(Held(**{**entry, "proof": Proof(entry["proof"])}))
                for name, entry in document.items()
            }
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"is no memory of what was set ({error})", source=str(path)) from error

    def get(self, control: str) -> Held | None:
        """Return what is held of a control."""
        return self._held.get(control)

    def all(self) -> Mapping[str, Held]:
        """Return everything that is held."""
        return dict(self._held)

    def put(self, control: str, held: Held | None) -> None:
        """Remember it, durably, or forget it."""
        if self._held.get(control) == held:
            return
        if held is None:
            self._held.pop(control, None)
        else:
            self._held[control] = held
        document = {name: asdict(entry) for name, entry in self._held.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
