"""Kafka as a source, and as a sink of our windows: one JSON object a message, with columns as the testbed names them.

A message covers the `period_s` before it is heard, or as long as its own `start_s` and `end_s` say; of several that are
heard at once each comes before the next. It counts for a window that holds all of that: half of it from before a change
would say something of neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import ModuleType
from typing import Any

from bridge.telemetry.door import Table
from bridge.telemetry.kafka_columns import Column, kind_of, published_columns, read_columns, read_message, write_window
from bridge.telemetry.listening import Heard, ListeningSource, TroubleError
from bridge.telemetry.source import Now, SourceMetric
from col.errors import InputError, UnreachableError
from col.plant import Metric, Windows

__all__ = ["KafkaPublisher", "KafkaSource", "make_publisher", "make_source"]

_POLL_MS, _START_S, _STOP_S = 200, 20.0, 5.0
_COVERED = 0.5
"""Share of a window that messages must cover: at least one of them, where both are of one length."""


def make_source(config: Mapping[str, object], now: Now) -> KafkaSource:
    """Return the source of a topic: `bootstrap` (HOST:PORT), `topic`, `columns`, `period_s`.

    `columns` has a metric's column by our name, as `kafka_columns.read_columns` reads it; `dus` and `cus` add those of
    the published testbed for these numbers.
    """
    table = Table(config, "kafka")
    columns = _columns(table)
    if not columns:
        raise table.wrong("columns", 'missing: which columns are which metrics, such as {thp_dl_1 = "throughput"}')
    source = KafkaSource(
        table.text("bootstrap"),
        table.text("topic"),
        now,
        columns=columns,
        period_s=table.number("period_s", 1.0, low=0.0, high=300.0),
    )
    table.done()
    return source


def make_publisher(config: Mapping[str, object]) -> KafkaPublisher:
    """Return the publisher of an agent's `[publish]` table: `kafka` (HOST:PORT), `topic`, and columns as of a source.

    Metrics without a column go under our own names.

    Raises:
        InputError: a key is missing, unknown or wrong, or the package aiokafka is not installed.
    """
    table = Table(config, "publish")
    bootstrap, topic, columns = table.text("kafka"), table.text("topic"), _columns(table)
    table.done()
    _library()
    return KafkaPublisher(bootstrap, topic, columns=columns)


def _columns(table: Table) -> tuple[Column, ...]:
    """Return the columns that a table names, those of the published testbed among them."""
    dus, cus = table.texts("dus"), table.texts("cus")
    try:
        return read_columns({**published_columns(dus, cus), **table.mapping("columns")})
    except InputError as error:
        raise InputError(str(error), source="telemetry kafka") from error


class KafkaSource(ListeningSource):
    """The messages of one topic from now on; no consumer group, so that nobody else loses any."""

    def __init__(
        self, bootstrap: str, topic: str, now: Now, *, columns: Sequence[Column], period_s: float = 1.0
    ) -> None:
        text = f"column {{}} of topic {topic}"
        offered = [
            SourceMetric(
                metric=Metric(
                    name=one.metric, unit=one.unit, kind=kind_of(one.metric), description=text.format(one.column)
                )
            )
            for one in columns
        ]
        super().__init__(f"Kafka topic {topic} at {bootstrap}", offered, now, stale_after_s=max(5.0, 3.0 * period_s))
        self._bootstrap, self._topic, self._columns, self._period_s = bootstrap, topic, tuple(columns), period_s
        self._messages: Heard[tuple[float, Mapping[str, float]]] = Heard()
        self.listening = False
        """Whether the broker was reached and what comes now is heard."""

    def _check(self) -> None:
        _library()

    def _parts(self) -> dict[str, Callable[[], None]]:
        return {"topic": self._listen}

    def _listen(self) -> None:
        try:
            asyncio.run(self._consume())
        except asyncio.CancelledError as error:  # nobody cancels us: a task of the library's own gave up
            raise TroubleError("the broker cannot be read any more") from error

    async def _consume(self) -> None:
        consumer = _library().AIOKafkaConsumer(
            self._topic, bootstrap_servers=self._bootstrap, group_id=None, enable_auto_commit=False
        )
        try:
            if not await self._unless_stopped(_begin(consumer)):
                return
            self.listening = True
            self._note("topic")
            while not self._stop.is_set():
                for messages in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    self._keep([message.value for message in messages])
        except TroubleError:
            raise
        except Exception as error:
            raise TroubleError(f"the broker cannot be reached or read ({type(error).__name__}: {error})") from error
        finally:
            self.listening = False
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_STOP_S):
                    await consumer.stop()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for the work and say whether it was done: a library that waits must not hold up `close`."""
        task = asyncio.create_task(work)
        async with asyncio.timeout(_START_S):
            while not task.done() and not self._stop.is_set():
                await asyncio.wait([task], timeout=_POLL_MS / 1000.0)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_STOP_S)
            return False
        task.result()
        return True

    def _keep(self, bodies: Sequence[bytes | None]) -> None:
        """Keep what was read of a partition at once.

        Of several with the same columns only the last can have ended now: what waited at a broker that was away is of
        the time when it was sent, and must not pass for this window's.
        """
        heard_s = self._now()
        found = [read_message(body, self._columns) for body in bodies]
        for _, values in found:
            if values:
                self._note("topic", heard_s)
            else:
                columns = ", ".join(c.column for c in self._columns)
                self._say("topic", f"a message without any of the columns {columns}")
        later_s: dict[str, float] = {}
        for span_s, values in reversed(found):
            if values:
                span_s = self._period_s if span_s is None else span_s
                ago_s = max(later_s.get(metric, 0.0) for metric in values)
                self._messages.add(heard_s - ago_s, (span_s, values))
                later_s |= dict.fromkeys(values, ago_s + span_s)

    def _values(self, start_s: float, end_s: float) -> dict[str, float]:
        found: dict[str, float] = {}
        inside = [
            (span_s, values)
            for at_s, (span_s, values) in self._messages.timed(start_s, end_s)
            if at_s - span_s >= start_s - 1e-6
        ]
        for one in self._columns:
            known = [(span_s, values[one.metric]) for span_s, values in inside if one.metric in values]
            covered_s = sum(span_s for span_s, _ in known)
            if known and (self._period_s == 0 or covered_s >= _COVERED * (end_s - start_s)):
                weights = [span_s or 1.0 for span_s, _ in known]
                found[one.metric] = sum(w * v for w, (_, v) in zip(weights, known, strict=True)) / sum(weights)
        return found


async def _begin(consumer: Any) -> None:
    """Reach the broker and hear what comes from now on."""
    await consumer.start()
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)


class KafkaPublisher:
    """Publishes windows, each once, keyed by its sequence number; for one thread."""

    def __init__(self, bootstrap: str, topic: str, *, columns: Sequence[Column] = (), timeout_s: float = 20.0) -> None:
        self._bootstrap, self._topic, self._columns, self._timeout_s = bootstrap, topic, tuple(columns), timeout_s
        self._runner = asyncio.Runner()
        self._producer: Any = None

    def publish(self, windows: Windows) -> None:
        """Publish them all, and return when the broker has them.

        Raises:
            InputError: the package aiokafka is missing.
            UnreachableError: the broker does not take them; some may have been published.
        """
        try:
            self._runner.run(self._send(windows))
        except InputError:
            raise
        except Exception as error:
            text = f"Kafka at {self._bootstrap} does not take windows ({type(error).__name__}: {error})"
            raise UnreachableError(text) from error

    async def _send(self, windows: Windows) -> None:
        async with asyncio.timeout(self._timeout_s):
            if self._producer is None:
                producer = _library().AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            for row in range(len(windows)):
                key = str(int(windows.sequence[row])).encode()
                await self._producer.send_and_wait(self._topic, write_window(windows, row, self._columns), key=key)

    def close(self) -> None:
        """Let go of the broker."""
        if self._producer is not None:
            with contextlib.suppress(Exception):
                self._runner.run(asyncio.wait_for(self._producer.stop(), _STOP_S))
        self._producer = None
        self._runner.close()


def _library() -> ModuleType:
    try:
        import aiokafka
    except ImportError as error:
        raise InputError("needs the package aiokafka: pip install rantwin[kafka]", key="source") from error
    logger = logging.getLogger("aiokafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)  # some ten lines a second while a broker is away; `problem` says it once
    found: ModuleType = aiokafka
    return found
