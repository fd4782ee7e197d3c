"""A ground for mechanisms of the control plane to stand on: SimPy's clock, a topology, and a data plane that only
remembers what it was told. What mechanisms do is then read off without a slot being simulated.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import simpy

from twin.mechanism import Mechanism, RunEvent
from twin.ran_state import RanState
from twin.topology import Gnb, Host, Pair, Topology

PAIRED = Topology(
    hosts=(Host(name="h1", capacity_cores=16.0),),
    gnbs=tuple(Gnb(cell=cell, host="h1", cu=str(cell), ues=ues) for cell, ues in ((1, 4), (2, 3))),
    pairs=(Pair(name="p1", cells=(1, 2)),),
    control_kinds=("cpu_du", "cpu_cu", "thr"),
)


class PlaneOfSlots:
    """Remembers who is attached and what each slot offers [Mbit/s: down, up]; says so when it is used wrongly."""

    def __init__(self, cells: int) -> None:
        self.loads: list[dict[int, tuple[float, float]]] = [{} for _ in range(cells)]
        self.moves: list[dict[str, Any]] = []

    def attached(self, cell: int) -> tuple[int, ...]:
        return tuple(sorted(self.loads[cell]))

    def attach(self, cell: int, slot: int) -> None:
        assert slot not in self.loads[cell]
        self.loads[cell][slot] = (0.0, 0.0)

    def detach(self, cell: int, slot: int) -> None:
        del self.loads[cell][slot]

    def set_ue_load(self, cell: int, slot: int, *, dl_mbps: float, ul_mbps: float) -> None:
        assert slot in self.loads[cell]
        self.loads[cell][slot] = (dl_mbps, ul_mbps)

    def move_ue(self, from_cell: int, slot: int, to_cell: int, to_slot: int, **how: Any) -> None:
        assert to_slot not in self.loads[to_cell]
        self.loads[to_cell][to_slot] = self.loads[from_cell].pop(slot)
        self.moves.append({"source": from_cell, "target": to_cell, **how})

    def offered(self, cell: int) -> tuple[float, float]:
        """Return what a cell is offered now, down and up."""
        loads = self.loads[cell].values()
        return sum(down for down, _ in loads), sum(up for _, up in loads)


class Ground:
    """What a mechanism sees of a run; windows of 15 s are closed by `run_windows`."""

    def __init__(
        self,
        topology: Topology = PAIRED,
        *,
        controls: Mapping[str, float] | None = None,
        held: Mapping[str, float] | None = None,
    ) -> None:
        self.env = simpy.Environment()
        self.topology = topology
        self.held = dict(held or {})
        self.controls = dict(controls or {})
        self.automation = True
        self.plane = PlaneOfSlots(len(topology.gnbs))
        self.scenario: Any = SimpleNamespace(window_slots=15_000, fixed_values={}, topology=topology)
        self.mechanisms: list[Mechanism] = []
        self.windows: list[dict[str, float]] = []
        self._events: list[RunEvent] = []

    @property
    def now_ms(self) -> int:
        return int(self.env.now)

    def wait(self, delay_ms: float) -> simpy.Event:
        return RanState.wait(self.ran, delay_ms)

    def note(self, kind: str, subject: str, **values: float | str) -> None:
        RanState.note(self.ran, kind, subject, **values)

    def row(self, cell: int) -> int:
        return cell - 1

    def catch_up(self) -> None:
        pass

    def apply(self, values: Mapping[str, float]) -> None:
        self.controls.update(values)

    @property
    def ran(self) -> RanState:
        """This ground, as mechanisms know it."""
        return cast(RanState, self)

    def start(self, *mechanisms: Mechanism) -> None:
        """Start the mechanisms' processes."""
        self.mechanisms = list(mechanisms)
        for mechanism in mechanisms:
            for process in mechanism.processes(self.ran):
                self.env.process(process)

    def run_windows(self, count: int, *, seen: Mapping[str, float] | None = None) -> list[dict[str, float]]:
        """Let windows pass, the first beginning now; return the metrics of each. `seen` goes to the mechanisms."""
        for _ in range(count):
            for mechanism in self.mechanisms:
                mechanism.seen(seen or {})
            start = self.now_ms
            monitor = self.env.timeout(15_000)
            self.env.run(until=monitor)
            metrics: dict[str, float] = {}
            for mechanism in self.mechanisms:
                metrics.update(mechanism.metrics(self.ran, self.now_ms - start))
            self.windows.append(metrics)
        return self.windows[-count:]

    def of_kind(self, kind: str) -> list[RunEvent]:
        """Return the events of a kind."""
        return [event for event in self._events if event.kind == kind]
