"""The testbed's side: what an agent says, followed from two threads, with reconnects and holes said as such.

`TestbedFeed` keeps what it was told and answers at once; only its threads wait for the agent. It takes any `Link`:
`bridge.client.TestbedClient` is one. It never writes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.promotion import Promotion
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import InputError, RantwinError, UnreachableError
from col.plant import Windows, concatenate_windows
from tui.plan_view import seconds
from tui.watch.feeds_rows import Layout, columns_of, holes_in, layout_of, places_of
from tui.watch.feeds_twin import KEEP
from tui.watch.kept import Kept
from tui.watch.state import Connection, GnbPlace, PlantView

__all__ = ["NO_TESTBED", "Link", "TestbedFeed", "TestbedPicture"]

NO_TESTBED = (
    "no testbed: press s to start the embedded EMULATED one here, or 'rantwin serve'; 'rantwin lab up' starts the lab"
)

_STATUS_S, _IN_FLIGHT_S, _AGAIN_S = 1.0, 0.4, 1.0
_JOURNAL_KEEP, _JOURNAL_PAGE, _PROMOTIONS_KEEP = 500, 500, 20
_DISCARDED = 2
"""An apply and a rollback discard the window in progress: the number of the next goes back by one, not by more."""


class Link(Protocol):
    """What the feed needs of a client."""

    def status(self) -> TestbedStatus:
        """Return the agent's picture of its testbed."""
        ...

    def windows(self, since: int, limit: int) -> Windows:
        """Return recorded windows."""
        ...

    def watch_windows(self, since: int) -> Iterator[Windows]:
        """Yield windows as they close; an empty table says that there is nothing new."""
        ...

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return journal entries."""
        ...

    def promotion(self, promotion_id: str) -> Promotion:
        """Return a promotion."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedPicture:
    """What is known of a testbed; `status` came at `status_s`."""

    __test__ = False

    plant: PlantView
    places: tuple[GnbPlace, ...] = ()
    status: TestbedStatus | None = None
    status_s: float | None = None
    promotions: tuple[Promotion, ...] = ()
    journal: tuple[JournalEntry, ...] = ()
    journal_total: int = 0


class TestbedFeed:
    """Follows one agent. `open_link` makes a client, and may raise what a client raises; `clock` is monotonic.

    `changed` is called from the threads whenever the picture is another one. `ours` is our version, so that an agent of
    another one is said to be.
    """

    __test__ = False

    def __init__(
        self,
        open_link: Callable[[], Link],
        address: str,
        *,
        ours: str = "",
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._open, self.address, self._ours = open_link, address, ours
        self._clock, self._changed = clock, changed
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._link: Link | None = None
        self._connection, self._why = Connection.NONE, f"connecting to {address}"
        self._lost_s: float | None = None
        self._status: TestbedStatus | None = None
        self._status_s: float | None = None
        self._layout: Layout | None = None
        self._places: tuple[GnbPlace, ...] = ()
        self._windows: Windows | None = None
        self._received_s: float | None = None
        self._holes: tuple[tuple[int, int], ...] = ()
        self._journal: tuple[JournalEntry, ...] = ()
        self._promotions: dict[str, Promotion] = {}
        self._columns: Kept[dict[str, NDArray[np.float64]]] = Kept()
        self._version, self._made, self._picture = 1, 0, TestbedPicture(plant=PlantView(name="testbed"))

    # --- what is known ------------------------------------------------------------------------------------------------

    def poll(self, now_s: float) -> TestbedPicture:
        """Return what is known now; never waits for the agent."""
        with self._lock:
            if self._made != self._version:
                self._picture, self._made = self._make(), self._version
            if self._connection is Connection.LOST and self._lost_s is not None:
                words = f"lost {seconds(now_s - self._lost_s)} ago, reconnecting: {self._why}"
                return replace(self._picture, plant=replace(self._picture.plant, words=words))
            return self._picture

    def _make(self) -> TestbedPicture:
        status = self._status
        if status is None:
            return TestbedPicture(plant=PlantView(name="testbed", connection=self._connection, words=self._why))
        plant, layout, windows = status.backend.plant, self._layout, self._windows
        wall_s = plant.wall_window_s or plant.window_s
        view = PlantView(
            name="testbed",
            title=f"{plant.plant_id}: {status.backend.stack}",
            emulated=plant.emulated,
            connection=self._connection,
            words=self._why,
            rows=layout.rows if layout else (),
            sequence=windows.sequence if windows is not None else np.empty(0, dtype=np.int64),
            values=self._columns.get((layout, windows), None, lambda: columns_of(layout, windows))
            if layout and windows is not None
            else {},
            holes=self._holes,
            window_s=plant.window_s,
            received_s=self._received_s,
            stale_after_s=2.5 * wall_s + 2.0,
            in_force=dict(status.reading.controls) if status.reading else {},
            confirmed=dict(status.confirmed),
            problems=status.problems,
        )
        newest_first = tuple(sorted(self._promotions.values(), key=lambda p: -p.created_wall_s))
        return TestbedPicture(
            plant=view,
            places=self._places,
            status=status,
            status_s=self._status_s,
            promotions=newest_first,
            journal=self._journal,
            journal_total=status.journal_entries,
        )

    # --- what the agent says ------------------------------------------------------------------------------------------

    def take_status(self, status: TestbedStatus) -> None:
        """Take what the agent said of its testbed."""
        with self._lock:
            if self._status is None or status.backend != self._status.backend:
                alive = status.backend.gnb_metrics
                self._places = places_of(
                    gnbs={name: (*alive.get(name, ()), *names) for name, names in status.backend.gnbs.items()},
                    controls={control.name for control in status.backend.plant.controls},
                )
                self._layout = layout_of(
                    status.backend.plant.controls,
                    status.backend.plant.metrics,
                    self._places,
                    estimated=status.backend.estimated,
                    specification=status.specification,
                )
            if self._status is not None and _another(self._status, status):
                self._windows, self._received_s, self._holes, self._promotions = None, None, (), {}
            self._status, self._status_s = status, self._clock()
            self._connection, self._why, self._lost_s = Connection.CONNECTED, self._greeting(status), None
            if status.active is not None:
                self._promotions[status.active.promotion_id] = status.active
            self._version += 1
        self._changed()

    def take_windows(self, windows: Windows) -> None:
        """Take windows that closed; a jump in their numbers is a hole."""
        if not len(windows):
            return
        with self._lock:
            if self._windows is not None and len(self._windows):
                windows = windows.take(windows.sequence > self._windows.sequence[-1])
                if not len(windows):
                    return
                if windows.metrics.keys() == self._windows.metrics.keys():
                    windows = concatenate_windows([self._windows, windows])
            kept = windows.take(slice(max(0, len(windows) - KEEP), None))
            self._windows, self._received_s = kept, self._clock()
            self._holes = holes_in(kept.sequence)
            self._version += 1
        self._changed()

    def take_journal(self, entries: tuple[JournalEntry, ...]) -> None:
        """Take entries that follow those that are known."""
        with self._lock:
            last = self._journal[-1].number if self._journal else 0
            new = tuple(entry for entry in entries if entry.number > last)
            self._journal = (*self._journal, *new)[-_JOURNAL_KEEP:]
            self._version += bool(new)

    def take_promotion(self, promotion: Promotion) -> None:
        """Take what was said of a promotion, by whoever asked; an older version than the one known is left."""
        with self._lock:
            known = self._promotions.get(promotion.promotion_id)
            if known is None or promotion.version >= known.version:
                self._promotions.pop(promotion.promotion_id, None)
                self._promotions[promotion.promotion_id] = promotion
                while len(self._promotions) > _PROMOTIONS_KEEP:
                    self._promotions.pop(next(iter(self._promotions)))
                self._version += 1
        self._changed()

    def take_error(self, error: Exception) -> None:
        """Take that the agent does not answer, or not sensibly."""
        with self._lock:
            if self._status is not None and self._connection is not Connection.LOST:
                self._lost_s = self._clock()
            self._connection = Connection.NONE if self._status is None else Connection.LOST
            words = str(error)
            self._why = words if self._status is not None or words == NO_TESTBED else f"{words}; {NO_TESTBED}"
            self._version += 1
        self._changed()

    def _greeting(self, status: TestbedStatus) -> str:
        words = "connected"
        if self._ours and status.agent_version and status.agent_version != self._ours:
            words += f"; the agent is version {status.agent_version}, this screen {self._ours}"
        return words

    # --- threads ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow."""
        for target, name in ((self._follow_status, "rantwin-status"), (self._follow_windows, "rantwin-windows")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop following; the threads end with their next answer."""
        self._stop.set()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()
        for thread in self._threads:
            thread.join(1.0)

    def _linked(self) -> Link:
        """Return the client, made once."""
        with self._lock:
            if self._link is None:
                if self._stop.is_set():
                    raise UnreachableError("the screen is closing")
                self._link = self._open()
            return self._link

    def _follow_status(self) -> None:
        while not self._stop.is_set():
            pause_s = _STATUS_S
            try:
                self.step_status(self._linked())
                if self._status is not None and self._status.active is not None:
                    pause_s = _IN_FLIGHT_S
            except (RantwinError, ValueError) as error:
                if self._stop.is_set():
                    return
                self.take_error(error)
                pause_s = _AGAIN_S
            self._stop.wait(pause_s)

    def step_status(self, link: Link) -> None:
        """Ask once: status, the end of what was in flight, new journal entries."""
        before = self._status.active if self._status is not None else None
        status = link.status()
        if before is not None and (status.active is None or status.active.promotion_id != before.promotion_id):
            with contextlib.suppress(InputError):
                self.take_promotion(link.promotion(before.promotion_id))
        last = self._journal[-1].number if self._journal else 0
        if status.journal_entries < last:
            self._journal, last = (), 0  # another journal: the agent's state was moved or made anew
        if status.journal_entries > last:
            since = max(last + 1, status.journal_entries - _JOURNAL_KEEP + 1)
            self.take_journal(link.journal(since, _JOURNAL_PAGE))
        self.take_status(status)

    def _follow_windows(self) -> None:
        while not self._stop.is_set():
            try:
                if self._status is not None:
                    self.step_windows(self._linked())
            except UnreachableError:
                pass  # the other thread says so
            except (RantwinError, ValueError) as error:
                if not self._stop.is_set():
                    self.take_error(error)
            self._stop.wait(0.3)

    def step_windows(self, link: Link) -> None:
        """Follow the stream from where it was left until it breaks."""
        assert self._status is not None
        known = self._windows
        reading = self._status.reading
        since = 0 if reading is None else max(0, reading.next_sequence - KEEP)
        if known is not None and len(known):
            since = max(since, int(known.sequence[-1]) + 1)
        for windows in link.watch_windows(since):
            if self._stop.is_set():
                return
            self.take_windows(windows)
            if self._windows is None and known is not None:
                return  # another testbed: begin again


def _another(before: TestbedStatus, after: TestbedStatus) -> bool:
    """Whether what we knew of the windows is of another testbed, or of one that began to count again."""
    if before.backend.plant.plant_id != after.backend.plant.plant_id:
        return True
    if before.reading is None or after.reading is None:
        return False
    return after.reading.next_sequence < before.reading.next_sequence - _DISCARDED
