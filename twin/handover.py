"""Handovers of a run: the rules of `twin.mobility` at work on the UEs of `twin.attachment`.

`ho_*` is the number of handovers in a pair, both ways; a window's comes from the loads of the window before (and, with
ticks within windows, from loads of the same one). Every handover is noted with what the rule saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from twin.attachment import Ue, Ues
from twin.beat import Beat
from twin.mechanism import Mechanism, Process
from twin.mobility import A3Rule, A3State, Interruption, LoadRule, direction
from twin.streams import Streams
from twin.topology import Pair

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Handovers"]


class Handovers(Mechanism):
    """The handovers of one run, by load, by event A3, or both."""

    def __init__(
        self,
        load: LoadRule | None,
        a3: A3Rule | None,
        interruption: Interruption,
        ues: Ues,
        streams: Streams,
        ran: RanState,
    ) -> None:
        """Take the rules; the threshold of a pair is the control `thr_*`, or the scenario's fixed one."""
        self._load, self._a3, self._interruption = load, a3, interruption
        self._ues, self._streams, self._ran = ues, streams, ran
        self._pairs = ran.topology.pairs
        self._fixed = ran.scenario.fixed_values
        self._draws = {pair.name: streams.generator("handover", row) for row, pair in enumerate(self._pairs)}
        self._count = dict.fromkeys(self._draws, 0)
        self._offered = {cell: (0.0, 0) for pair in self._pairs for cell in pair.cells}
        self._beat = Beat(ran, self._ticks)

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Start the ticks of the warm-up and the measurements of event A3."""
        if self._load is not None:
            yield self._beat.start()
        if self._a3 is not None:
            yield self._measure(self._a3)

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Tick: a window begins."""
        if self._load is not None:
            self._beat.seen()

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        """Return `ho` of every pair: handovers since the last call."""
        counts = {f"ho_{name}": float(count) for name, count in self._count.items()}
        self._count = dict.fromkeys(self._count, 0)
        return counts

    def _ticks(self) -> Process:
        """Tick at the start of a window and within it, until the next one begins."""
        rule, window = self._load, self._beat.number
        if rule is None:
            return
        number = max(1, round(self._ran.scenario.window_slots / (1000.0 * rule.tick_s)))
        for tick in range(number):
            yield self._ran.wait(0 if tick == 0 else 1000.0 * rule.tick_s)
            if window != self._beat.number:
                return
            for pair in self._pairs:
                self._tick(rule, pair, first=tick == 0)

    def _tick(self, rule: LoadRule, pair: Pair, *, first: bool) -> None:
        """Move one UE of a pair if the rule says so; as much is drawn whether it does or not."""
        generator = self._draws[pair.name]
        normals, (who, lost) = generator.standard_normal(3), generator.random(2)
        loads = [
            self._seen_mbps(cell) + rule.noise_mbps * float(noise)
            for cell, noise in zip(pair.cells, normals[:2], strict=True)
        ]
        threshold = self._ran.controls.get(f"thr_{pair.name}", self._fixed.get(f"thr_{pair.name}", 0.0))
        way = direction(loads[0], loads[1], threshold)
        moves = 1
        held = self._ran.held.get(f"ho_{pair.name}")
        if held is not None:  # do(ho): so many at the start of a window, from the heavier cell
            moves = round(held) if first else 0
            way = 1 if loads[0] >= loads[1] else -1
        for _ in range(moves if way else 0):
            source, target = pair.cells if way > 0 else pair.cells[::-1]
            ready = self._ues.movable(source)
            if not ready or not self._ues.can_spare(source) or not self._ues.has_room(target):
                return
            ue = ready[int(who * len(ready))]
            self._move(
                ue,
                pair,
                target,
                self._interruption.length_ms(float(normals[2])),
                lost=bool(lost < self._interruption.loss_probability),
                load_from=loads[0 if way > 0 else 1],
                load_to=loads[1 if way > 0 else 0],
                threshold=threshold,
            )

    def _seen_mbps(self, cell: int) -> float:
        """Return the mean uplink load of a cell since it was last looked at; now, if that is now."""
        before, then = self._offered[cell]
        total, now = self._ues.offered_mbit(cell), self._ran.now_ms
        self._offered[cell] = (total, now)
        return 1000.0 * (total - before) / (now - then) if now > then else 0.0

    def _move(self, ue: Ue, pair: Pair, target: int, interruption_ms: float, *, lost: bool, **saw: float) -> None:
        source = ue.cell
        ue.moves += 1
        self._ues.move(ue, target, interruption_ms, lose=lost)
        self._count[pair.name] += 1
        self._ran.note(
            "handover",
            ue.name,
            pair=pair.name,
            source=float(source),
            target=float(target),
            interruption_ms=interruption_ms,
            lost=float(lost),
            **saw,
        )

    def _measure(self, rule: A3Rule) -> Process:
        """Sample every attached UE of every pair; each draws from streams of its own."""
        known: dict[int, tuple[A3State, np.random.Generator]] = {}
        while True:
            yield self._ran.wait(rule.sample_ms)
            present: dict[int, tuple[A3State, np.random.Generator]] = {}
            for pair in self._pairs:
                for ue in [ue for cell in pair.cells for ue in self._ues.movable(cell)]:
                    state, generator = known.get(ue.code) or self._measured(rule, ue)
                    present[ue.code] = (state, generator)
                    second = ue.cell == pair.cells[1]
                    if state.sample(self._ran.now_ms, second, float(generator.standard_normal())):
                        self._leave(ue, pair, pair.cells[0 if second else 1], state.difference_db)
            known = {code: known[code] for code in known if code not in present and not self._gone(code)} | present

    def _measured(self, rule: A3Rule, ue: Ue) -> tuple[A3State, np.random.Generator]:
        generator = self._streams.generator("ue_a3", ue.code)
        return A3State(rule, float(generator.standard_normal())), generator

    def _gone(self, code: int) -> bool:
        return all(ue.code != code for pair in self._pairs for cell in pair.cells for ue in self._ues.members(cell))

    def _leave(self, ue: Ue, pair: Pair, target: int, difference_db: float) -> None:
        """Hand a UE over by event A3, within the bounds on the number of UEs of both cells."""
        if not self._ues.can_spare(ue.cell) or not self._ues.has_room(target):
            return
        law, generator = self._interruption, self._streams.generator("ue_handover", ue.code * 1024 + ue.moves)
        length_ms, lost = law.length_ms(float(generator.standard_normal())), float(generator.random())
        self._move(ue, pair, target, length_ms, lost=lost < law.loss_probability, difference_db=difference_db)
