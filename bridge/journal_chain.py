"""The hash chain of the journal: what an entry's hash covers, and what a broken chain looks like."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.testbed import JournalEntry

__all__ = ["GENESIS", "Verification", "canonical_json", "chain_hash", "entry_facts", "plain", "verify_chain"]

GENESIS = "0" * 64
"""The hash before the first entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What became of checking a journal: how many entries are sound, and the first one that is not."""

    entries: int
    broken: int | None = None
    problem: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.problem


def plain(value: object) -> object:
    """Return a value as JSON can hold it; numbers that are not finite become their names."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def canonical_json(data: object) -> str:
    """Return JSON with sorted keys, no spaces and finite numbers only."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def entry_facts(entry: JournalEntry) -> dict[str, object]:
    """Return what the hash of an entry covers: all of it but the hash."""
    return {
        "number": entry.number,
        "wall_s": entry.wall_s,
        "monotonic_s": entry.monotonic_s,
        "promotion_id": entry.promotion_id,
        "who": entry.who,
        "actor": entry.actor,
        "kind": entry.kind,
        "state_before": entry.state_before,
        "state_after": entry.state_after,
        "details": entry.details,
        "previous_hash": entry.previous_hash,
    }


def chain_hash(entry: JournalEntry) -> str:
    """Return the SHA-256 (hex) over the entry and the hash of the one before it."""
    return hashlib.sha256(canonical_json(entry_facts(entry)).encode()).hexdigest()


def verify_chain(
    entries: Iterable[JournalEntry], head: tuple[int, str], states: Mapping[str, str] | None = None
) -> Verification:
    """Check every entry against the one before it, the last one against `head` (its number and hash).

    `states` are the states in which promotions are kept beside the chain: the last entry of each must agree.
    """
    number, last_hash = 0, GENESIS
    last_state: dict[str, tuple[int, str]] = {}
    for entry in entries:
        expected = number + 1
        if entry.number != expected:
            return Verification(entries=number, broken=expected, problem=f"entry {expected} is missing")
        if entry.previous_hash != last_hash:
            problem = f"entry {expected} does not follow from the one before it"
            return Verification(entries=number, broken=expected, problem=problem)
        if entry.hash != chain_hash(entry):
            return Verification(entries=number, broken=expected, problem=f"entry {expected} was changed")
        number, last_hash = entry.number, entry.hash
        if entry.state_after:
            last_state[entry.promotion_id] = (number, entry.state_after)
    if head != (number, last_hash):
        broken = min(number, head[0]) + 1 if head[0] != number else number
        problem = f"the journal ends with entry {number}, but {head[0]} were written"
        if head[0] == number:
            problem = f"entry {number} is not the one that was written last"
        return Verification(entries=number, broken=broken, problem=problem)
    for promotion_id, state in (states or {}).items():
        at, there = last_state.get(promotion_id, (number, "nothing"))
        if there != state:
            problem = f"entry {at} leaves promotion {promotion_id} {there}, but it is kept as {state}"
            return Verification(entries=number, broken=at, problem=problem)
    return Verification(entries=number)
