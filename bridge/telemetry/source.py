"""Where the metrics of a testbed come from: a source of telemetry is heard all the time and asked once a window.

A source runs its own thread from `start` to `close`, keeps what it heard for at least `KEPT_S`, and never blocks the
one who asks. Units are converted where a number enters, and a number that cannot be is missing: a source has no bad
values, only missing ones. Sources are plug-ins: entry point group `rantwin.telemetry`, see `bridge.telemetry.registry`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from col.plant import Metric, Provenance

__all__ = ["KEPT_S", "MISSING", "Now", "Sample", "SourceFactory", "SourceMetric", "TelemetrySource", "sample_of"]

KEPT_S = 300.0
"""A source can be asked for windows that began up to this long ago [s]."""

MISSING = math.nan
"""The value of a metric that nobody measured."""

Now = Callable[[], float]
"""The clock of the windows [s]: the backend's own. A source stamps with it what it hears, when it hears it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMetric:
    """A metric that a source offers, with the name and the unit of the window's column, and how it comes about."""

    metric: Metric
    provenance: Provenance = Provenance.MEASURED

    @property
    def name(self) -> str:
        """The name of the column."""
        return self.metric.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One window of a source: every metric that it offers, missing ones as NaN, and how each came about."""

    values: Mapping[str, float]
    provenance: Mapping[str, Provenance] = field(default_factory=dict)


@runtime_checkable
class TelemetrySource(Protocol):
    """One source of metrics: a gNB's reports, a core, a traffic generator, a power meter.

    Metrics and provenance are settled when the source is built and never change. All methods may be called from any
    thread; none takes longer than the source's own time limit, `sample` no time at all.
    """

    def metrics(self) -> tuple[SourceMetric, ...]:
        """Return what this source offers, always the same."""
        ...

    def start(self) -> None:
        """Begin to listen, and return at once: what cannot be reached now is tried again until `close`.

        Raises:
            InputError: it can never work here (a package or a file is missing).
        """
        ...

    def sample(self, start_s: float, end_s: float) -> Sample:
        """Return the metrics of the window from `start_s` to `end_s` [s on the clock given].

        Asking again for the same window gives the same answer, once it is over. A window that was not heard well
        enough has missing values; this method never raises on account of what was heard.
        """
        ...

    @property
    def last_heard_s(self) -> float | None:
        """When the source was last heard [s on the clock given]; None before the first time."""
        ...

    @property
    def problem(self) -> str:
        """What is wrong now, in one line that says what to do; empty while all is well."""
        ...

    def close(self) -> None:
        """Stop listening; may be called twice, and without `start`."""
        ...


SourceFactory = Callable[[Mapping[str, object], Now], TelemetrySource]
"""Takes the source's table in the inventory (without `source`) and the clock; raises InputError on a wrong table.

Building a source touches neither network nor devices more than is needed to know what it offers.
"""


def sample_of(offered: Sequence[SourceMetric], values: Mapping[str, float]) -> Sample:
    """Return the sample with exactly the metrics offered; what is absent or not finite is missing."""
    found = {one.name: float(values.get(one.name, MISSING)) for one in offered}
    return Sample(
        values={name: value if math.isfinite(value) else MISSING for name, value in found.items()},
        provenance={one.name: one.provenance for one in offered},
    )
