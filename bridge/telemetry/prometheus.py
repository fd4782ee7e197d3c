"""What Prometheus may ask of the agent: what became of promotions, how the testbed is, how old that knowledge is.

Counters are read off the journal, so that a restart of the agent loses none. Names follow
prometheus.io/docs/practices/naming: base units, few labels, no ids.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge.agent_loop import EngineLike
from bridge.auth import Address
from bridge.promotion import Actor, Event, State
from bridge.telemetry.names import series_of
from bridge.testbed import TestbedStatus
from col.errors import InputError, RantwinError
from col.plant import Windows

__all__ = ["Metrics"]

TRIGGERS = {
    Actor.LEASE: "lease",
    Actor.DEADLINE: "deadline",
    Actor.WATCHDOG: "metric",
    Actor.OPERATOR: "manual",
    Actor.RECOVERY: "restart",
    Actor.AGENT: "agent",
    Actor.TESTBED: "testbed",
}
VERDICTS = {Event.GATE_PASSED: "allowed", Event.GATE_REFUSED: "refused"}
MOST_ENTRIES = 2_000
"""Of the journal at one look; a long journal is caught up with over several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was known at the last look."""

    status: TestbedStatus | None
    latest: Windows | None
    promotions: dict[str, int] = field(default_factory=dict)
    rollbacks: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)


class Metrics:
    """Serves metrics over HTTP at `address`; `observe` looks at the engine, in its thread."""

    def __init__(self, address: Address) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as error:
            text = "needs the package prometheus-client: pip install rantwin[metrics]"
            raise InputError(text, key="metrics_listen") from error
        self._promotions: Counter[str] = Counter({str(s): 0 for s in State if s.is_final})
        self._rollbacks: Counter[str] = Counter(dict.fromkeys(TRIGGERS.values(), 0))
        self._verdicts: Counter[str] = Counter(dict.fromkeys(VERDICTS.values(), 0))
        self._next_entry, self._last_window = 1, -1
        self._latest: Windows | None = None
        self._seen = _Seen(status=None, latest=None)
        registry = CollectorRegistry()
        registry.register(self)
        if address.path is not None:
            raise InputError("must be HOST:PORT", key="metrics_listen", value=address.target)
        try:
            self._server, _ = start_http_server(address.port, address.host, registry)
        except OSError as error:
            text = f"cannot listen there: {error.strerror}"
            raise InputError(text, key="metrics_listen", value=address.target) from error

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def observe(self, engine: EngineLike) -> None:
        """Look at the engine."""
        for entry in engine.journal(self._next_entry, MOST_ENTRIES):
            self._next_entry = entry.number + 1
            if entry.kind in VERDICTS:
                self._verdicts[VERDICTS[Event(entry.kind)]] += 1
            if entry.state_after == entry.state_before:
                continue
            if entry.state_after == State.ROLLING_BACK:
                self._rollbacks[TRIGGERS[Actor(entry.actor)]] += 1
            elif entry.state_after in self._promotions:
                self._promotions[entry.state_after] += 1
        try:
            status: TestbedStatus | None = engine.status()
            new = engine.windows(self._last_window + 1, 1_000)
            if len(new):
                self._latest, self._last_window = new.take(slice(-1, None)), int(new.sequence[-1])
        except RantwinError:
            status = None
        self._seen = _Seen(
            status=status,
            latest=self._latest,
            promotions=dict(self._promotions),
            rollbacks=dict(self._rollbacks),
            verdicts=dict(self._verdicts),
        )

    def collect(self) -> Iterator[Any]:
        """Yield what Prometheus asked for; called by its client library, in the server's thread."""
        from prometheus_client.core import CounterMetricFamily

        seen = self._seen
        for name, text, label, counts in (
            ("bridge_promotions", "Promotions that are over, by their final state.", "result", seen.promotions),
            ("bridge_rollbacks", "Rollbacks begun, by what triggered them.", "trigger", seen.rollbacks),
            ("bridge_gate_verdicts", "Plans checked by the gate.", "verdict", seen.verdicts),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value, count in counts.items():
                family.add_metric([value.replace(" ", "_")], count)
            yield family
        status = seen.status
        up = status is not None and status.reading is not None
        yield _gauge("bridge_testbed_up", "Whether the testbed can be read.", float(up))
        if status is not None:
            yield from _of_agent(status)
            yield from _of_testbed(status, seen.latest)


def _of_agent(status: TestbedStatus) -> Iterator[Any]:
    from prometheus_client.core import InfoMetricFamily

    plant = status.backend.plant
    facts = {
        "version": status.agent_version,
        "testbed": plant.plant_id,
        "stack": status.backend.stack,
        "emulated": str(plant.emulated).lower(),
    }
    yield InfoMetricFamily("bridge", "The agent and its testbed.", value=facts)
    yield _gauge("bridge_journal_entries", "Entries in the journal.", float(status.journal_entries))
    yield _gauge("bridge_promotions_in_flight", "Promotions in flight.", float(status.active is not None))
    if status.active is not None and status.active.lease_remaining_s is not None:
        yield _gauge("bridge_lease_remaining_seconds", "What is left of the lease.", status.active.lease_remaining_s)
    if status.drift is not None:
        text = "Gap between testbed and certificate; 1 is the edge of what the twin predicted."
        yield _gauge("bridge_drift_ratio", text, status.drift)


def _of_testbed(status: TestbedStatus, latest: Windows | None) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    plant, reading = status.backend.plant, status.reading
    if reading is not None and latest is not None:
        age = GaugeMetricFamily(
            "bridge_kpi_age_seconds", "Age of the latest window, on the testbed's clock.", labels=["source"]
        )
        age.add_metric(["testbed"], max(0.0, reading.at_s - float(latest.end_s[-1])))
        yield age
    samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)

    def add(prefix: str, name: str, unit: str, value: float | None, **labels: str) -> None:
        if value is not None and not math.isnan(value):  # a scrape must not read 0 for what is missing
            series = series_of(prefix, name, unit)
            samples[series.name].append(({**dict(series.labels), **labels}, value * series.factor))

    in_force = reading.controls if reading is not None else {}
    measured = {} if latest is None else {name: float(column[-1]) for name, column in latest.metrics.items()}
    predicted = _predicted(status)
    for control in plant.controls:
        add("ran_control", control.name, control.unit, in_force.get(control.name), source="testbed")
    for metric in plant.metrics:
        add("ran", metric.name, metric.unit, measured.get(metric.name), source="testbed")
        for bound, value in predicted.get(metric.name, {}).items():
            add("ran_predicted", metric.name, metric.unit, value, source="twin", bound=bound)
    for name, found in samples.items():
        labels = sorted({label for given, _ in found for label in given})
        family = GaugeMetricFamily(name, "In force, measured in the latest window, or predicted.", labels=labels)
        for given, value in found:
            family.add_metric([given.get(label, "") for label in labels], value)
        yield family


def _predicted(status: TestbedStatus) -> dict[str, dict[str, float]]:
    """Return what the twin predicts for the target of the promotion in flight, if that has a certificate."""
    signed = None if status.active is None else status.active.plan.request.certificate
    if signed is None:
        return {}
    with contextlib.suppress(InputError):
        predictions = signed.certificate().predictions
        return {name: {"low": p.target_low, "high": p.target_high} for name, p in predictions.items()}
    return {}


def _gauge(name: str, text: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, text, value=value)
