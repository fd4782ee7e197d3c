"""Power of a host: its RAPL package counters where they can be read, else an estimate from CPU use, marked as one.

Scope is the processor packages of the whole host, idle power and everybody's load included: not the memory, fans or
the supply, and no single container. RAPL through powercap (docs.kernel.org/power/powercap): a zone's energy counts up
in microjoules and begins anew after `max_energy_range_uj`; only root may read it since Linux 5.10. The estimate is the
curve of Fan, Weber and Barroso (ISCA 2007) over the busy share of all CPUs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.telemetry.door import Table
from bridge.telemetry.listening import Heard, ListeningSource, TroubleError
from bridge.telemetry.source import Now, SourceMetric
from col.plant import Metric, MetricKind, Provenance

__all__ = ["PowerSource", "Zone", "find_packages", "make_source"]

_MOST_W = 1000.0
"""More than a package draws: a counter that jumped."""
_COVERED = 0.8
"""Share of a window that must lie between readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One package's counter: the file, and where it begins anew [uJ]."""

    energy: Path
    range_uj: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimate:
    """Watts of an idle host, of one with all CPUs busy, and the bend of the curve between them."""

    idle_w: float
    busy_w: float
    exponent: float

    def at(self, share: float) -> float:
        return self.idle_w + (self.busy_w - self.idle_w) * (2.0 * share - math.pow(share, self.exponent))


def make_source(config: Mapping[str, object], now: Now) -> PowerSource:
    """Return the source of a host: `host`, and for the estimate `idle_w`, `busy_w`, `exponent`.

    `powercap` and `proc_stat` are where the host's files are seen from here; `estimate` is false where an estimate is
    not wanted, `rapl` false where only it is.
    """
    table = Table(config, "power")
    idle_w = table.number("idle_w", 80.0, low=0, high=100_000)
    busy_w = table.number("busy_w", 110.0, low=0, high=100_000)
    if busy_w < idle_w:
        raise table.wrong("busy_w", f"must be at least idle_w ({idle_w:g})")
    exponent = table.number("exponent", 1.4, low=1, high=3)
    host, poll_s = table.text("host"), table.number("poll_s", 1.0, low=0.05, high=60)
    powercap, proc_stat = (
        Path(table.text("powercap", "/sys/class/powercap")),
        Path(table.text("proc_stat", "/proc/stat")),
    )
    zones = find_packages(powercap) if table.flag("rapl", True) else ()
    if not table.flag("estimate", True) and not zones:
        raise table.wrong("estimate", f"no package counter can be read in {powercap}, and an estimate is not wanted")
    table.done()
    estimate = _Estimate(idle_w=idle_w, busy_w=busy_w, exponent=exponent)
    return PowerSource(host, now, zones=zones, proc_stat=proc_stat, estimate=estimate, poll_s=poll_s)


def find_packages(powercap: Path) -> tuple[Zone, ...]:
    """Return the counters of all packages; none where any of them cannot be read: half a host is no host."""
    zones = []
    for folder in sorted(powercap.glob("*-rapl:*")):
        try:
            name = (folder / "name").read_text(encoding="ascii").strip()
            if folder.name.count(":") != 1 or not name.startswith("package"):
                continue  # a part of a package (cores, graphics, memory), or of the whole platform
            range_uj = float((folder / "max_energy_range_uj").read_text(encoding="ascii"))
            float((folder / "energy_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return ()
        zones.append(Zone(energy=folder / "energy_uj", range_uj=range_uj))
    return tuple(zones)


class PowerSource(ListeningSource):
    """Power of one host: measured where `zones` are given, else estimated."""

    def __init__(
        self,
        host: str,
        now: Now,
        *,
        zones: tuple[Zone, ...],
        proc_stat: Path,
        estimate: _Estimate,
        poll_s: float = 1.0,
    ) -> None:
        text = f"package power of the host, {'RAPL' if zones else 'an estimate from its CPU use'}, idle power included"
        metric = Metric(name=f"pow_{host}", unit="W", kind=MetricKind.TARGET, description=text)
        provenance = Provenance.MEASURED if zones else Provenance.ESTIMATED
        offered = (SourceMetric(metric=metric, provenance=provenance),)
        super().__init__(f"power of {host}", offered, now, stale_after_s=max(3.0, 5.0 * poll_s))
        self._zones, self._proc_stat, self._estimate, self._poll_s = zones, proc_stat, estimate, poll_s
        self._spans: Heard[tuple[float, float]] = Heard()
        """Seconds and mean watts between two readings, at the time of the later one."""

    def _parts(self) -> dict[str, Callable[[], None]]:
        return {"meter": self._meter if self._zones else self._guess}

    def _meter(self) -> None:
        before: tuple[float, tuple[float, ...]] | None = None
        while not self._stop.is_set():
            at_s, energies = self._now(), self._energies()
            if before is None or at_s > before[0]:
                if before is not None:
                    self._add(before[0], at_s, _watts(before[1], energies, self._zones, at_s - before[0]))
                before = (at_s, energies)
                self._note("meter", at_s)
            self._stop.wait(self._poll_s)

    def _add(self, before_s: float, at_s: float, watts: float | None) -> None:
        if watts is not None:
            self._spans.add(at_s, (at_s - before_s, watts))

    def _energies(self) -> tuple[float, ...]:
        try:
            return tuple(float(zone.energy.read_text(encoding="ascii")) for zone in self._zones)
        except (OSError, ValueError) as error:
            raise TroubleError(f"a package counter cannot be read any more ({error})") from error

    def _guess(self) -> None:
        before: tuple[float, float, float] | None = None
        while not self._stop.is_set():
            at_s = self._now()
            busy, total = self._ticks()
            if before is None or at_s > before[0]:
                if before is not None and total > before[2] and busy >= before[1]:
                    self._add(before[0], at_s, self._estimate.at(min(1.0, (busy - before[1]) / (total - before[2]))))
                before = (at_s, busy, total)
                self._note("meter", at_s)
            self._stop.wait(self._poll_s)

    def _ticks(self) -> tuple[float, float]:
        """Return busy and all ticks of the host's CPUs; stolen time counts as neither."""
        try:
            words = self._proc_stat.read_text(encoding="ascii").split("\n", 1)[0].split()
            user, nice, system, idle, wait, irq, softirq = (float(word) for word in words[1:8])
        except (OSError, ValueError) as error:
            raise TroubleError(f"{self._proc_stat} cannot be read ({error})") from error
        busy = user + nice + system + irq + softirq
        return busy, busy + idle + wait

    def _values(self, start_s: float, end_s: float) -> dict[str, float]:
        covered = energy = 0.0
        for at_s, (seconds, watts) in self._spans.timed(start_s, end_s):
            inside = min(seconds, at_s - start_s)
            covered += inside
            energy += inside * watts
        if covered < _COVERED * (end_s - start_s):
            return {}
        return {self._offered[0].name: energy / covered}


def _watts(
    before: tuple[float, ...], after: tuple[float, ...], zones: tuple[Zone, ...], seconds: float
) -> float | None:
    """Return the power of all packages between two readings; None where a counter went an impossible way."""
    total = 0.0
    for old, new, zone in zip(before, after, zones, strict=True):
        energy_uj = new - old if new >= old else new - old + zone.range_uj
        watts = energy_uj / 1e6 / seconds
        if not 0.0 <= watts <= _MOST_W:
            return None
        total += watts
    return total
