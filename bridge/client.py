"""The client of an agent: the operations of a testbed over the wire, with the same answers and the same errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from bridge.client_channel import Credentials, Link
from bridge.convert import (
    entry_from,
    plan_from,
    promotion_from,
    request_to,
    status_from,
    trial_timeout_to,
)
from bridge.convert_plant import windows_from
from bridge.convert_values import check_digest, check_promotion_id, check_whole, check_why
from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import InputError, OutcomeUnknownError, PlantError, RantwinError, UnreachableError
from col.plant import Windows, concatenate_windows
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = ["Credentials", "LeaseKeeper", "TestbedClient"]

T = TypeVar("T")

NOTHING = Credentials()
PULSE_S = 1.0
SILENCE_S = 5.0
MOST_PAGE = 100_000
LONGEST_HEARTBEAT_S = 2.0


class TestbedClient:
    """A testbed whose agent listens at `address` (`unix:PATH` or `HOST:PORT`); a `Testbed`, to be closed after use.

    `timeout_s` bounds each call; `connect_s` how long a connection may take to come about; `patience_s` how long a
    stream looks for an agent that it has lost. A write that was sent and not answered raises OutcomeUnknownError: ask
    `promotion`. Safe to use from several threads.
    """

    __test__ = False

    def __init__(
        self,
        address: str,
        credentials: Credentials = NOTHING,
        *,
        timeout_s: float = 10.0,
        connect_s: float = 5.0,
        patience_s: float = 5.0,
    ) -> None:
        self.address, self._patience_s = address, patience_s
        self._link = Link(address, credentials, timeout_s=timeout_s, connect_s=connect_s)

    def __enter__(self) -> TestbedClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def status(self) -> TestbedStatus:
        """Return the agent's picture of its testbed."""
        return self._link.read("GetStatus", pb.GetStatusRequest(), lambda answer: status_from(answer.status))

    def windows(self, since: int, limit: int) -> Windows:
        """Return recorded windows from a sequence number on, at most `limit` of them, in as many calls as it takes."""
        if limit < 1:
            raise InputError("must be at least 1", key="limit", value=limit)
        pages: list[Windows] = []
        following: int | None = check_whole(since, "since")
        while following is not None and limit > 0:
            request = pb.ListWindowsRequest(since_sequence=following, page_size=min(limit, MOST_PAGE))
            page, after = self._link.read("ListWindows", request, _windows_page)
            if after is not None and after <= following:
                raise PlantError("the agent's pages of windows do not go on")
            pages.append(page)
            limit, following = limit - len(page), after
        return concatenate_windows(pages)

    def promotion(self, promotion_id: str) -> Promotion:
        """Return a promotion as it stands."""
        request = pb.GetPromotionRequest(promotion_id=check_promotion_id(promotion_id))
        return self._link.read("GetPromotion", request, _promotion)

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return journal entries from a number on, at most `limit` of them, in as many calls as it takes."""
        entries: list[JournalEntry] = []
        following: int | None = check_whole(since, "since")
        wanted = promotion_id and check_promotion_id(promotion_id)
        while following is not None and len(entries) < limit:
            size = min(limit - len(entries), MOST_PAGE)
            request = pb.ListJournalRequest(since_number=following, page_size=size, promotion_id=wanted)
            page, after = self._link.read("ListJournal", request, _journal_page)
            if after is not None and after <= following:
                raise PlantError("the agent's pages of the journal do not go on")
            entries += page
            following = after
        return tuple(entries)

    # --- streams ------------------------------------------------------------------------------------------------------

    def watch(self, promotion_id: str) -> Iterator[Promotion]:
        """Yield a promotion at once and after every change, ending with its final state.

        A broken connection is taken up again; UnreachableError after `patience_s` without the agent.
        """
        request = pb.WatchPromotionRequest(
            promotion_id=check_promotion_id(promotion_id), heartbeat_interval=_duration(PULSE_S)
        )
        last: Promotion | None = None
        for event in self._resumed("WatchPromotion", lambda: request):
            if event.WhichOneof("event") != "promotion":
                continue
            promotion = _sensible(lambda event=event: promotion_from(event.promotion))  # type: ignore[misc]
            if last is None or promotion.version != last.version or promotion.state is not last.state:
                yield promotion
            last = promotion
            if promotion.state.is_final:
                return

    def watch_windows(self, since: int) -> Iterator[Windows]:
        """Yield windows from a sequence number on as they close; nothing is lost over a broken connection.

        An empty table says that the agent is there and has nothing new. UnreachableError after `patience_s` without
        the agent.
        """
        following = check_whole(since, "since")
        nothing: Windows | None = None

        def request() -> pb.WatchWindowsRequest:
            return pb.WatchWindowsRequest(since_sequence=following, heartbeat_interval=_duration(PULSE_S))

        for event in self._resumed("WatchWindows", request):
            if event.WhichOneof("event") == "windows":
                windows = _sensible(lambda event=event: windows_from(event.windows))  # type: ignore[misc]
                windows = windows.take(windows.sequence >= following)
                nothing = windows.take(slice(0, 0))
                if len(windows):
                    following = int(windows.sequence[-1]) + 1
                    yield windows
            else:
                yield nothing if nothing is not None else Windows.empty([], [])

    def _resumed(self, method: str, request: Callable[[], Any]) -> Iterator[Any]:
        """Yield the messages of a stream that is begun again whenever it breaks."""
        heard_s = time.monotonic()
        while True:
            try:
                for message in self._link.stream(method, request(), silence_s=SILENCE_S):
                    heard_s = time.monotonic()
                    yield message
                    heard_s = time.monotonic()
                raise UnreachableError("the agent ended the stream")
            except UnreachableError:
                if time.monotonic() - heard_s >= self._patience_s:
                    raise
            self._link.pause(0.2)

    # --- writing ------------------------------------------------------------------------------------------------------

    def plan(self, request: PlanRequest) -> Plan:
        """Check a request and say what it would change; nothing is applied."""
        message = pb.PlanPromotionRequest(request=request_to(request))
        return self._link.write("PlanPromotion", message, lambda answer: plan_from(answer.plan))

    def apply(self, promotion_id: str, digest: str) -> Promotion:
        """Apply the plan of that digest under a lease; sent once, so that an answer that was lost is known to be."""
        message = pb.ApplyPromotionRequest(
            promotion_id=check_promotion_id(promotion_id), plan_digest=check_digest(digest, "digest")
        )
        return self._link.write("ApplyPromotion", message, _promotion, is_repeatable=False)

    def confirm(self, promotion_id: str) -> Promotion:
        """Keep what is in force; only with verdict pass."""
        message = pb.ConfirmPromotionRequest(promotion_id=check_promotion_id(promotion_id))
        return self._link.write("ConfirmPromotion", message, _promotion)

    def cancel(self, promotion_id: str, why: str) -> Promotion:
        """Roll back now."""
        message = pb.CancelPromotionRequest(promotion_id=check_promotion_id(promotion_id), why=check_why(why))
        return self._link.write("CancelPromotion", message, _promotion)

    def extend(self, promotion_id: str, trial_timeout_s: float) -> Promotion:
        """Set the trial's deadline to that many seconds from now."""
        message = trial_timeout_to(trial_timeout_s)
        message.promotion_id = check_promotion_id(promotion_id)
        return self._link.write("ExtendTrial", message, _promotion)

    def renew_lease(self, promotion_id: str) -> Promotion:
        """Heartbeat of the controller; given up early, since a fresh one is worth more than one that hangs."""
        message = pb.RenewLeaseRequest(promotion_id=check_promotion_id(promotion_id))
        return self._link.write("RenewLease", message, _promotion, most_s=LONGEST_HEARTBEAT_S)

    def roll_back_everything(self, why: str) -> tuple[Promotion, ...]:
        """Kill switch: bring the testbed back to its confirmed configuration, without analysis."""
        message = pb.RollBackEverythingRequest(why=check_why(why))
        return self._link.write(
            "RollBackEverything", message, lambda answer: tuple(promotion_from(p) for p in answer.promotions)
        )


class LeaseKeeper:
    """A thread that renews a promotion's lease at a third of its time to live, for as long as it is entered.

    `on_change` gets the promotion after each renewal, from that thread. It begins before the promotion is applied, so
    that nothing of the lease is lost; a plan has none yet, which is no error. A lease that cannot be renewed because
    nobody answers is tried again until the keeper is left; any other error ends it and stands in `error`.
    """

    def __init__(
        self,
        client: TestbedClient,
        promotion_id: str,
        lease_ttl_s: float,
        *,
        on_change: Callable[[Promotion], None] | None = None,
    ) -> None:
        self._client, self._promotion_id, self._period_s = client, promotion_id, lease_ttl_s / 3
        self._on_change = on_change
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="rantwin-lease", daemon=True)
        self.error: Exception | None = None

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join(1.0)

    def _keep(self) -> None:
        pause_s = self._period_s
        while not self._left.wait(pause_s):
            pause_s = self._period_s
            try:
                promotion = self._client.renew_lease(self._promotion_id)
            except (UnreachableError, OutcomeUnknownError):
                pause_s = min(self._period_s, 0.5)
                continue
            except RantwinError as error:
                self.error = error
                return
            if self._on_change is not None:
                self._on_change(promotion)
            if promotion.state.is_final:
                return


def _promotion(answer: Any) -> Promotion:
    return promotion_from(answer.promotion)


def _windows_page(answer: Any) -> tuple[Windows, int | None]:
    following = answer.next_since_sequence if answer.HasField("next_since_sequence") else None
    return windows_from(answer.windows), following


def _journal_page(answer: Any) -> tuple[list[JournalEntry], int | None]:
    following = answer.next_since_number if answer.HasField("next_since_number") else None
    return [entry_from(entry) for entry in answer.entries], following


def _sensible(read: Callable[[], T]) -> T:
    try:
        return read()
    except InputError as error:
        raise PlantError(f"the agent's answer makes no sense: {error}") from error


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
