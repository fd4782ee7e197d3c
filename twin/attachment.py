"""The UEs of a run: they attach, send, are handed over and leave; what each cell is offered follows from them.

The exogenous draws are those of `twin.population`; here they meet the state. `nue_*` is the mean number attached, and a
UE that is being handed over counts in the cell that it goes to. With UEs the scenario's load laws offer nothing: what
region, truth and certificates refer to is this walk itself, in trials as in the passive phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twin.beat import Beat
from twin.mechanism import Mechanism, Process
from twin.population import CellWalk, Population, Start, WalkStep
from twin.sources import OnOff, Profile, on_off_path
from twin.streams import Streams

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Ue", "Ues"]

_WAYS = ("dl", "ul")


@dataclass(slots=True, eq=False)
class Ue:
    """One UE: where it first came to be, in which step of the walk and as which of those that came then.

    `factor` is what its source multiplies its rates by now; `busy_until_ms` is when its last interruption ends.
    """

    home: int
    step: int
    ordinal: int
    cell: int
    slot: int
    attached: bool = False
    gone: bool = False
    factor: list[float] = field(default_factory=lambda: [1.0, 1.0])
    busy_until_ms: float = 0.0
    moves: int = 0

    @property
    def name(self) -> str:
        """Its name in events, the same in every run in which it comes."""
        return f"ue{self.home}.{self.step}" + (f".{self.ordinal}" if self.ordinal else "")

    @property
    def code(self) -> int:
        """The number of its own random streams."""
        return (self.home * 2**24 + self.step) * 2**8 + self.ordinal


class _Sum:
    """A rate integrated over time."""

    __slots__ = ("rate", "since", "total")

    def __init__(self) -> None:
        self.rate = self.total = 0.0
        self.since = 0

    def at(self, now: int) -> float:
        self.total += self.rate * (now - self.since)
        self.since = now
        return self.total

    def set(self, now: int, rate: float) -> None:
        self.at(now)
        self.rate = rate


class Ues(Mechanism):
    """All UEs of one run."""

    drives_load = True

    def __init__(self, law: Population, source: OnOff | Profile | None, streams: Streams, ran: RanState) -> None:
        """Attach the UEs of the start at once."""
        self._law, self._source, self._streams, self._ran = law, source, streams, ran
        gnbs = ran.topology.gnbs
        self._walks = {gnb.cell: CellWalk(law, streams, row, gnb.cell) for row, gnb in enumerate(gnbs)}
        self._members: dict[int, list[Ue]] = {cell: [] for cell in self._walks}
        self._free = {cell: set(range(law.upper_ues)) for cell in self._walks}
        self._attached = {cell: _Sum() for cell in self._walks}
        self._rates = {cell: (_Sum(), _Sum()) for cell in self._walks}
        self._read = {cell: (0.0, 0.0, 0.0) for cell in self._walks}
        self._asked = dict.fromkeys(self._walks, 0)
        self._profile = (1.0, 1.0)
        if isinstance(source, Profile):
            self._phase_s = source.phase_s(streams)
            self._profile = source.at(self._phase_s)
        self._beat = Beat(ran, self._step)
        self._at_start = {gnb.cell: self._first(gnb.cell, gnb.ues) for gnb in gnbs}

    def _first(self, cell: int, listed: int) -> int:
        walk = self._walks[cell]
        number = listed if self._law.start is Start.ATTACHED else walk.law.stationary_ues(walk.first)
        return self._held_number(cell, number)

    def _held_number(self, cell: int, number: int) -> int:
        held = self._ran.held.get(f"nue_{cell}")
        return number if held is None else min(self._law.upper_ues, max(0, round(held)))

    # -- for other mechanisms

    def members(self, cell: int) -> Sequence[Ue]:
        """Return the UEs of a cell, those that are still attaching too, in order of coming."""
        return self._members[cell]

    def movable(self, cell: int) -> list[Ue]:
        """Return the UEs of a cell that could be handed over now: attached, and not on their way already."""
        now = self._ran.now_ms
        return [ue for ue in self._members[cell] if ue.attached and ue.busy_until_ms <= now]

    def can_spare(self, cell: int) -> bool:
        """Return whether a cell may lose a UE: the walk's lower bound holds for handovers too."""
        return len(self._members[cell]) > self._law.lower_ues

    def has_room(self, cell: int) -> bool:
        """Return whether a cell takes another UE."""
        return bool(self._free[cell])

    def offered_mbit(self, cell: int) -> float:
        """Return what the UEs of a cell have offered in the uplink since the run's start [Mbit]."""
        return self._rates[cell][1].at(self._ran.now_ms) / 1000.0

    def move(self, ue: Ue, cell: int, interruption_ms: float, *, lose: bool) -> None:
        """Hand a UE over to another cell that has room; nothing goes through for `interruption_ms` from now on.

        Where the number of UEs of a cell is held by do(), the other cell alone gains or loses one.
        """
        ran, source = self._ran, ue.cell
        ran.catch_up()
        if f"nue_{cell}" in ran.held:
            if f"nue_{source}" not in ran.held:
                self._remove(ue)
            return
        if f"nue_{source}" in ran.held:
            self._add(cell, ue.home, ue.step, ue.ordinal, attached=True)
            return
        slot = min(self._free[cell])
        resume_ms = ran.now_ms + math.ceil(interruption_ms)
        ran.plane.move_ue(
            ran.row(source), ue.slot, ran.row(cell), slot, resume_ms=resume_ms, forward=not lose, lose_in_flight=lose
        )
        self._free[source].add(ue.slot)
        self._free[cell].remove(slot)
        self._members[source].remove(ue)
        self._members[cell].append(ue)
        ue.cell, ue.slot, ue.busy_until_ms = cell, slot, resume_ms
        self._count(source)
        self._count(cell)

    # -- the seam

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Attach who is there at the start, and follow the profile if there is one."""
        for cell, number in self._at_start.items():
            for slot in ran.plane.attached(ran.row(cell)):
                ran.plane.detach(ran.row(cell), slot)
            for ordinal in range(number):
                self._add(cell, cell, 0, ordinal, attached=True)
        yield self._beat.start()
        if isinstance(self._source, Profile):
            yield self._follow(self._source)

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Take a step of the walk: a window begins."""
        self._beat.seen()

    def held(self, name: str) -> None:
        """Make what do() now holds so at once: the number of UEs of a cell, or what they offer."""
        stem, _, owner = name.rpartition("_")
        if stem == "nue":
            self._fill(int(owner))
        elif stem in ("load_dl", "load_ul", "lam_dl", "lam_ul"):
            self._count(int(owner))

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        """Return per cell `nue` (mean UEs attached), `lam_dl` and `lam_ul` (mean offered per UE), `att` (draw).

        `att` is what the walk's draws asked for when the window began: a UE more, one less, or 0.
        """
        out: dict[str, float] = {}
        for cell, before in self._read.items():
            down, up = self._rates[cell]
            totals = (self._attached[cell].at(ran.now_ms), down.at(ran.now_ms), up.at(ran.now_ms))
            ues, *loads = (now - then for now, then in zip(totals, before, strict=True))
            self._read[cell] = totals
            out[f"nue_{cell}"] = ues / elapsed_ms if elapsed_ms > 0 else self._attached[cell].rate
            for way, nominal, load in zip(_WAYS, (self._law.dl_mbps, self._law.ul_mbps), loads, strict=True):
                out[f"lam_{way}_{cell}"] = load / ues if ues > 0.0 else nominal
            out[f"att_{cell}"] = float(self._asked[cell])
        return out

    # -- what happens

    def _step(self) -> Process:
        for cell, walk in self._walks.items():
            step, crowd = walk.step(), walk.crowd()
            step = self._as_held(cell, step)
            self._asked[cell] = int(step.gains) - int(step.loses)
            if f"nue_{cell}" in self._ran.held:
                continue
            leaves, comes = step.change(len(self._members[cell]), self._law)
            if leaves:
                there = [ue for ue in self._members[cell] if ue.attached]
                if there:
                    self._remove(there[int(step.who * len(there))])
            if comes and self.has_room(cell):
                self._add(cell, cell, self._beat.number, 0, after_ms=step.attach_ms)
            if crowd is not None:
                self._ran.note("crowd", f"cell {cell}", ues=len(crowd.comes_ms))
                for k, (comes_ms, goes_ms) in enumerate(zip(crowd.comes_ms, crowd.goes_ms, strict=True)):
                    self._ran.env.process(self._visit(cell, self._beat.number, k + 1, comes_ms, goes_ms))
        yield self._ran.wait(0)

    def _fill(self, cell: int) -> None:
        """Bring a cell to the number of UEs that is held there: the last to come go first."""
        wanted = self._held_number(cell, len(self._members[cell]))
        for ue in self._members[cell][wanted:]:
            self._remove(ue)
        for ordinal in range(wanted - len(self._members[cell])):
            self._add(cell, cell, self._beat.number, 128 + ordinal, attached=True)

    def _as_held(self, cell: int, step: WalkStep) -> WalkStep:
        """Return the step with what do() on `att` makes of it: 1 a UE more, -1 one less, 0 none."""
        held = self._ran.held.get(f"att_{cell}")
        if held is None:
            return step
        return WalkStep(gains=held >= 0.5, loses=held <= -0.5, who=step.who, attach_ms=step.attach_ms)

    def _visit(self, cell: int, step: int, ordinal: int, comes_ms: float, goes_ms: float) -> Process:
        """One UE of a crowd: it comes if there is room, and goes from wherever it is then."""
        yield self._ran.wait(comes_ms)
        if not self.has_room(cell):
            return
        ue = self._add(cell, cell, step, ordinal, attached=True)
        yield self._ran.wait(goes_ms - comes_ms)
        if not ue.gone:
            self._remove(ue)

    def _add(
        self, cell: int, home: int, step: int, ordinal: int, *, attached: bool = False, after_ms: float = 0.0
    ) -> Ue:
        slot = min(self._free[cell])
        self._free[cell].remove(slot)
        ue = Ue(home=home, step=step, ordinal=ordinal, cell=cell, slot=slot, factor=list(self._profile))
        self._members[cell].append(ue)
        if attached:
            self._attach(ue)
        else:
            self._ran.env.process(self._attach_later(ue, after_ms))
        return ue

    def _attach_later(self, ue: Ue, after_ms: float) -> Process:
        yield self._ran.wait(after_ms)
        if not ue.gone:
            self._attach(ue)

    def _attach(self, ue: Ue) -> None:
        self._ran.catch_up()
        self._ran.plane.attach(self._ran.row(ue.cell), ue.slot)
        ue.attached = True
        if isinstance(self._source, OnOff):
            self._ran.env.process(self._switch(ue, self._source))
        self._count(ue.cell, ue)

    def _remove(self, ue: Ue) -> None:
        self._ran.catch_up()
        self._members[ue.cell].remove(ue)
        self._free[ue.cell].add(ue.slot)
        ue.gone = True
        if ue.attached:
            self._ran.plane.detach(self._ran.row(ue.cell), ue.slot)
            self._count(ue.cell)

    def _switch(self, ue: Ue, law: OnOff) -> Process:
        """Let an on-off source switch on and off, in step with the grid of the run's clock."""
        for factor, lasts_ms in on_off_path(law, self._streams.generator("ue_source", ue.code)):
            ue.factor = [factor, factor]
            self._count(ue.cell, ue)
            yield self._ran.wait(lasts_ms - self._ran.now_ms % law.grid_ms)
            if ue.gone:
                return

    def _follow(self, law: Profile) -> Process:
        for at_ms, *factors in law.changes(self._phase_s):
            yield self._ran.wait(at_ms - self._ran.now_ms)
            self._profile = (factors[0], factors[1])
            for cell, members in self._members.items():
                for ue in members:
                    ue.factor = list(factors)
                    self._count(cell, ue)

    def _count(self, cell: int, changed: Ue | None = None) -> None:
        """Set what the UEs of a cell offer, or that of one of them, and count it."""
        ran = self._ran
        ran.catch_up()
        there = [ue for ue in self._members[cell] if ue.attached]
        held = {way: ran.held.get(f"load_{way}_{cell}") for way in _WAYS}
        shared = any(load is not None for load in held.values())
        totals = [0.0, 0.0]
        for ue in there:
            rates = []
            for k, (way, mean) in enumerate(zip(_WAYS, (self._law.dl_mbps, self._law.ul_mbps), strict=True)):
                load = held[way]
                rate = ran.held.get(f"lam_{way}_{cell}", mean) * ue.factor[k] if load is None else load / len(there)
                rates.append(rate)
                totals[k] += rate
            if ue is changed or shared or changed is None:
                ran.plane.set_ue_load(ran.row(cell), ue.slot, dl_mbps=rates[0], ul_mbps=rates[1])
        self._attached[cell].set(ran.now_ms, float(len(there)))
        for total, counted in zip(totals, self._rates[cell], strict=True):
            counted.set(ran.now_ms, total)
