"""The packaged recordings as files that tests take apart, damage and read again."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

import twin
from col.errors import InputError
from twin.recordings import Recordings, load_recordings

DATA = Path(twin.__file__).parent / "data" / "srsran_gnb"
RUN = DATA / "runs" / "q0.700_u2_r1.jsonl.gz"
CAPPED = DATA / "load" / "d12_u12_q0.40.jsonl.gz"
STEPS = DATA / "runs" / "steps_u1.jsonl.gz"
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@cache
def campaign() -> Recordings:
    return load_recordings(DATA)


@cache
def lines_of(path: Path) -> tuple[str, ...]:
    return tuple(gzip.decompress(path.read_bytes()).decode().splitlines())


@cache
def measured(path: Path) -> Recordings:
    return load_recordings(path)


def write(folder: Path, path: Path, text: str) -> Path:
    file = folder / path.name.removesuffix(".gz")
    file.write_text(text, encoding="utf-8")
    return file


def edited(folder: Path, path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Write a recording of which every line went through `edit`."""
    out = []
    for line in lines_of(path):
        content = json.loads(line)
        edit(content)
        out.append(json.dumps(content))
    return write(folder, path, "\n".join(out))


def assert_sane(result: Recordings) -> None:
    for s in result.settings:
        numbers = [v for v in asdict(s).values() if isinstance(v, float)]
        assert all(math.isfinite(v) and v >= 0.0 for v in numbers)
        assert max(s.throttled_periods, s.nok_ratio_dl, s.nok_ratio_ul, s.host_steal_share or 0.0) <= 1.0
        assert s.cpu_cores <= 1.5 * s.quota_cores + 0.4
        assert s.reports >= 5
        assert s.window_s >= 4.0
    for a, b in zip(result.steps, result.steps[1:], strict=False):
        assert a.t_s < b.t_s
        assert 0.0 <= b.since_change_s <= b.t_s
        assert 0.0 <= b.throttled_periods <= 1.0
    assert all(note.isprintable() for note in result.notes)
    assert Recordings.from_json(result.to_json()) == result


def load_or_refuse(path: Path) -> Recordings | None:
    result, line = None, ""
    try:
        result = load_recordings(path)
    except InputError as error:
        line = str(error)
    if result is None:
        assert line.startswith(path.name), "the error names the file"
        assert line.isprintable(), "the error is one line"
        return None
    assert_sane(result)
    return result
