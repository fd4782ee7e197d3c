"""The client of an agent: the operations of a testbed over the wire, with the same answers and the same errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion
from bridge.testbed import JournalEntry, TestbedStatus
from col.plant import Windows

__all__ = ["Credentials", "LeaseKeeper", "TestbedClient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How a client proves who it is: nothing for a Unix socket, a token file on loopback, else TLS files (all three).

    `server_name` is the name in the agent's certificate where it differs from the address.
    """

    token_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""


class TestbedClient:
    """A testbed whose agent listens at `address` (`unix:PATH` or `HOST:PORT`); a `Testbed`, to be closed after use.

    `timeout_s` bounds each call; `connect_s` how long a connection may take to come about.
    """

    __test__ = False

    def __init__(
        self,
        address: str,
        credentials: Credentials = Credentials(),
        *,
        timeout_s: float = 10.0,
        connect_s: float = 5.0,
    ) -> None: ...

    def __enter__(self) -> TestbedClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""

    def status(self) -> TestbedStatus:
        """Return the agent's picture of its testbed."""
        raise NotImplementedError

    def windows(self, since: int, limit: int) -> Windows:
        """Return recorded windows from a sequence number on."""
        raise NotImplementedError

    def watch_windows(self, since: int) -> Iterator[Windows]:
        """Yield windows from a sequence number on as they close; nothing is lost over a broken connection."""
        raise NotImplementedError

    def plan(self, request: PlanRequest) -> Plan:
        """Check a request and say what it would change."""
        raise NotImplementedError

    def apply(self, promotion_id: str, digest: str) -> Promotion:
        """Apply the plan of that digest under a lease."""
        raise NotImplementedError

    def confirm(self, promotion_id: str) -> Promotion:
        """Keep what is in force."""
        raise NotImplementedError

    def cancel(self, promotion_id: str, why: str) -> Promotion:
        """Roll back now."""
        raise NotImplementedError

    def extend(self, promotion_id: str, trial_timeout_s: float) -> Promotion:
        """Set the trial's deadline to that many seconds from now."""
        raise NotImplementedError

    def renew_lease(self, promotion_id: str) -> Promotion:
        """Heartbeat of the controller."""
        raise NotImplementedError

    def promotion(self, promotion_id: str) -> Promotion:
        """Return a promotion as it stands."""
        raise NotImplementedError

    def watch(self, promotion_id: str) -> Iterator[Promotion]:
        """Yield a promotion at once and after every change, ending with its final state."""
        raise NotImplementedError

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return journal entries from a number on."""
        raise NotImplementedError

    def roll_back_everything(self, why: str) -> tuple[Promotion, ...]:
        """Kill switch."""
        raise NotImplementedError


class LeaseKeeper:
    """A thread that renews a promotion's lease at a third of its time to live, for as long as it is entered.

    `on_change` gets the promotion after each renewal, from that thread. A lease that cannot be renewed because nobody
    answers is tried again until the keeper is left; any other error ends it and stands in `error`.
    """

    def __init__(
        self,
        client: TestbedClient,
        promotion_id: str,
        lease_ttl_s: float,
        *,
        on_change: Callable[[Promotion], None] | None = None,
    ) -> None:
        self.error: Exception | None = None

    def __enter__(self) -> LeaseKeeper:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError
