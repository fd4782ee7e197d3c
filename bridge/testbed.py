"""What can be asked of a testbed's agent: `engine` answers it beside the testbed, `client` carries it over the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bridge.backends.base import BackendDescription, Reading
from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion
from col.plant import Windows

__all__ = ["JournalEntry", "Testbed", "TestbedStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One line of the journal. `hash` covers the line and `previous_hash`; `details` has what the transition needed."""

    number: int
    wall_s: float
    monotonic_s: float
    promotion_id: str
    who: str
    actor: str
    kind: str
    state_before: str
    state_after: str
    details: Mapping[str, object] = field(default_factory=dict)
    previous_hash: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedStatus:
    """The agent's picture of its testbed. `reading` is None while the testbed cannot be read.

    `confirmed` is the configuration that everything unconfirmed goes back to; `active` the promotion in flight.
    `drift` is the gap to the last certificate that was used (1 is the edge of the twin's prediction), None if unknown.
    """

    backend: BackendDescription
    reading: Reading | None
    confirmed: Mapping[str, float]
    specification: str
    alpha: float
    active: Promotion | None
    exploration_enabled: bool
    journal_entries: int
    drift: float | None = None
    agent_version: str = ""
    problems: tuple[str, ...] = ()


class Testbed(Protocol):
    """The operations, whoever carries them out. The client knows who asks from its credentials.

    Errors: InputError (malformed, out of range, unknown id), RefusedError (the gate's or the state's reasons),
    OutcomeUnknownError (no answer: ask `promotion` before anything else), UnreachableError, PlantError.
    Every write can be repeated with the same promotion id: it acts once.
    """

    def status(self) -> TestbedStatus:
        """Return the agent's picture of its testbed."""
        ...

    def windows(self, since: int, limit: int) -> Windows:
        """Return recorded windows from a sequence number on."""
        ...

    def plan(self, request: PlanRequest) -> Plan:
        """Check a request and say what it would change; nothing is applied. A plan that is allowed can be applied."""
        ...

    def apply(self, promotion_id: str, digest: str) -> Promotion:
        """Apply the plan of that digest under a lease; returns after the read-back (or with state unknown)."""
        ...

    def confirm(self, promotion_id: str) -> Promotion:
        """Keep what is in force; only with verdict pass."""
        ...

    def cancel(self, promotion_id: str, why: str) -> Promotion:
        """Roll back now."""
        ...

    def extend(self, promotion_id: str, trial_timeout_s: float) -> Promotion:
        """Set the trial's deadline to that many seconds from now."""
        ...

    def renew_lease(self, promotion_id: str) -> Promotion:
        """Heartbeat of the controller."""
        ...

    def promotion(self, promotion_id: str) -> Promotion:
        """Return a promotion as it stands."""
        ...

    def watch(self, promotion_id: str) -> Iterator[Promotion]:
        """Yield a promotion at once and after every change, ending with its final state."""
        ...

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return journal entries from a number on, of one promotion if named."""
        ...

    def roll_back_everything(self, why: str) -> tuple[Promotion, ...]:
        """Kill switch: bring the testbed back to its confirmed configuration, without analysis."""
        ...
