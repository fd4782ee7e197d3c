"""Status and journal, to the wire and from it; and, from its siblings, everything else that travels.

The modules `convert*` are the only ones that know how the wire says it. They are strict and bounded both ways: whatever
they return is sound, and InputError names the field that is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.convert_plan import (
    MODES,
    REASON_CODES,
    plan_from,
    plan_to,
    reason_from,
    reason_to,
    request_from,
    request_to,
    trial_timeout_from,
    trial_timeout_to,
)
from bridge.convert_plant import METRIC_KINDS, PROVENANCES, backend_from, backend_to, reading_from, reading_to
from bridge.convert_promotion import CAUSES, ROLES, STATES, VERDICTS, promotion_from, promotion_to
from bridge.convert_values import (
    EnumTable,
    check_most,
    check_name,
    check_number,
    check_numbers,
    check_promotion_id,
    check_whole,
    clean_lines,
    timestamp_from,
    timestamp_to,
)
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import InputError
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = [
    "ENUM_TABLES",
    "entry_from",
    "entry_to",
    "plan_from",
    "plan_to",
    "promotion_from",
    "promotion_to",
    "reason_from",
    "reason_to",
    "request_from",
    "request_to",
    "status_from",
    "status_to",
    "trial_timeout_from",
    "trial_timeout_to",
]

MOST_DETAILS_BYTES = 1024 * 1024

ENUM_TABLES: tuple[EnumTable[Any], ...] = (
    MODES,
    STATES,
    CAUSES,
    VERDICTS,
    ROLES,
    REASON_CODES,
    METRIC_KINDS,
    PROVENANCES,
)


def status_to(status: TestbedStatus) -> pb.TestbedStatus:
    """Return the agent's picture of its testbed as a message."""
    return pb.TestbedStatus(
        backend=backend_to(status.backend),
        reading=None if status.reading is None else reading_to(status.reading),
        confirmed=check_numbers(status.confirmed, "confirmed"),
        specification=_specification(status.specification),
        alpha=check_number(status.alpha, "alpha", low=0.0, high=1.0),
        active=None if status.active is None else promotion_to(status.active),
        exploration_enabled=status.exploration_enabled,
        journal_entries=check_whole(status.journal_entries, "journal_entries"),
        drift=None if status.drift is None else check_number(status.drift, "drift", low=0.0, infinite=True),
        agent_version=check_name(status.agent_version, "agent_version", empty=True),
        problems=clean_lines(status.problems),
    )


def status_from(message: pb.TestbedStatus) -> TestbedStatus:
    """Return the agent's picture of its testbed, or raise InputError."""
    return TestbedStatus(
        backend=backend_from(message.backend),
        reading=reading_from(message.reading) if message.HasField("reading") else None,
        confirmed=check_numbers(message.confirmed, "confirmed"),
        specification=_specification(message.specification),
        alpha=check_number(message.alpha, "alpha", low=0.0, high=1.0),
        active=promotion_from(message.active) if message.HasField("active") else None,
        exploration_enabled=message.exploration_enabled,
        journal_entries=check_whole(message.journal_entries, "journal_entries"),
        drift=check_number(message.drift, "drift", low=0.0, infinite=True) if message.HasField("drift") else None,
        agent_version=check_name(message.agent_version, "agent_version", empty=True),
        problems=clean_lines(message.problems),
    )


def _specification(text: str) -> str:
    if len(text) > 20_000:
        raise InputError("longer than 20000 characters", key="specification")
    return "".join(c if c.isprintable() else " " for c in text)


def entry_to(entry: JournalEntry) -> pb.JournalEntry:
    """Return an entry of the journal as a message; what its hash covers comes out unchanged."""
    return pb.JournalEntry(
        number=check_whole(entry.number, "number"),
        written_at=timestamp_to(entry.wall_s, "written_at"),
        monotonic_s=check_number(entry.monotonic_s, "monotonic_s"),
        promotion_id=entry.promotion_id and check_promotion_id(entry.promotion_id),
        details_json=_details_to(entry.details),
        **{key: check_name(getattr(entry, key), key, empty=True) for key in _ENTRY_NAMES},
    )


def entry_from(message: pb.JournalEntry) -> JournalEntry:
    """Return an entry of the journal, or raise InputError."""
    return JournalEntry(
        number=check_whole(message.number, "number"),
        wall_s=timestamp_from(message.written_at, "written_at"),
        monotonic_s=check_number(message.monotonic_s, "monotonic_s"),
        promotion_id=message.promotion_id and check_promotion_id(message.promotion_id),
        details=_details_from(message.details_json),
        **{key: check_name(getattr(message, key), key, empty=True) for key in _ENTRY_NAMES},
    )


_ENTRY_NAMES = ("who", "actor", "kind", "state_before", "state_after", "previous_hash", "hash")


def _details_to(details: Mapping[str, object]) -> str:
    try:
        text = json.dumps(dict(details), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("are not JSON", key="details") from error
    check_most(len(text), MOST_DETAILS_BYTES, "details")
    return text


def _details_from(text: str) -> Mapping[str, object]:
    check_most(len(text), MOST_DETAILS_BYTES, "details_json")
    try:
        details = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("is not JSON", key="details_json") from error
    if not isinstance(details, dict):
        raise InputError("must be an object", key="details_json")
    return details
