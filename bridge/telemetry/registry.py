"""Which sources of telemetry there are: those of rantwin and those that other packages offer.

A source's table in the inventory names it (`source = "srsran"`), may take only some of its metrics (`take`), may give
them other names (`rename`), and has the source's own keys besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module, metadata

from bridge.telemetry.source import MISSING, Now, Sample, SourceFactory, SourceMetric, TelemetrySource
from col.errors import InputError

__all__ = ["GROUP", "all_metrics", "load_source", "source_names"]

GROUP = "rantwin.telemetry"
"""The entry point group in which a package offers a `SourceFactory` under a name."""

_BUILT_IN: Mapping[str, str] = {
    "iperf3": "bridge.telemetry.iperf3",
    "kafka": "bridge.telemetry.kafka",
    "lab": "bridge.lab.source",
    "open5gs": "bridge.telemetry.open5gs",
    "power": "bridge.telemetry.power",
    "srsran": "bridge.telemetry.srsran",
}
"""Modules with a function `make_source`; no other package can take these names."""


def source_names() -> tuple[str, ...]:
    """Return the names of all sources installed."""
    return tuple(sorted({*_BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))}))


def load_source(table: Mapping[str, object], now: Now) -> TelemetrySource:
    """Return the source that a table of the inventory describes, not started.

    Raises:
        InputError: there is none of that name, two packages offer it, it cannot be loaded, or its table is wrong.
    """
    own = dict(table)
    name = own.pop("source", None)
    if not isinstance(name, str):
        raise InputError(f"missing: one of {', '.join(source_names())}", key="source")
    take = _names(own.pop("take", None), "take")
    rename = _renamed(own.pop("rename", None))
    source = _factory(name)(own, now)
    if take is None and not rename:
        return source
    return _Picked(source, take, rename)


def all_metrics(sources: Iterable[TelemetrySource]) -> tuple[SourceMetric, ...]:
    """Return the metrics of several sources, in their order.

    Raises:
        InputError: two sources offer one name.
    """
    found: dict[str, SourceMetric] = {}
    for source in sources:
        for one in source.metrics():
            if one.name in found:
                text = "two sources offer this metric: leave it out of one (take) or call it otherwise (rename)"
                raise InputError(text, key="telemetry", value=one.name)
            found[one.name] = one
    return tuple(found.values())


def _factory(name: str) -> SourceFactory:
    if (module := _BUILT_IN.get(name)) is not None:
        built_in: SourceFactory = import_module(module).make_source
        return built_in
    found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise InputError(f"no such source; installed are {', '.join(source_names())}", key="source", value=name)
    if len({entry.value for entry in found}) > 1:
        raise InputError("more than one package offers this source", key="source", value=name)
    try:
        factory: Callable[[Mapping[str, object], Now], TelemetrySource] = found[0].load()
    except Exception as error:
        text = f"cannot be loaded ({type(error).__name__}: {error})"
        raise InputError(text, key="source", value=name) from error
    return factory


def _names(value: object, key: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise InputError('must be a list of metrics, such as ["thp_dl_1"]', key=key, value=value)
    if not value:
        raise InputError("must name at least one metric", key=key, value=value)
    return tuple(value)


def _renamed(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for pair in value.items() for one in pair):
        raise InputError('must be a table of metrics, such as {thp_dl_1 = "mac_dl_1"}', key="rename", value=value)
    return dict(value)


class _Picked:
    """Some metrics of a source, or under other names."""

    def __init__(self, source: TelemetrySource, take: tuple[str, ...] | None, rename: Mapping[str, str]) -> None:
        self._source = source
        offered = {one.name: one for one in source.metrics()}
        for key, names in (("take", take or ()), ("rename", tuple(rename))):
            for name in names:
                if name not in offered:
                    text = f"the source has no such metric; it has {', '.join(offered)}"
                    raise InputError(text, key=key, value=name)
        self._columns = {name: rename.get(name, name) for name in offered if take is None or name in take}
        if len(set(self._columns.values())) < len(self._columns):
            raise InputError("gives two metrics one name", key="rename", value=dict(rename))
        self._metrics = tuple(
            replace(offered[name], metric=replace(offered[name].metric, name=column))
            for name, column in self._columns.items()
        )

    def metrics(self) -> tuple[SourceMetric, ...]:
        """Return what is taken."""
        return self._metrics

    def start(self) -> None:
        """Start the source."""
        self._source.start()

    def sample(self, start_s: float, end_s: float) -> Sample:
        """Return what is taken of the window."""
        whole = self._source.sample(start_s, end_s).values
        return Sample(
            values={column: whole.get(name, MISSING) for name, column in self._columns.items()},
            provenance={one.name: one.provenance for one in self._metrics},
        )

    @property
    def last_heard_s(self) -> float | None:
        """When the source was last heard."""
        return self._source.last_heard_s

    @property
    def problem(self) -> str:
        """What is wrong with the source."""
        return self._source.problem

    def close(self) -> None:
        """Stop the source."""
        self._source.close()
