"""Recordings that are not as they should be: a sane result or one line, never an error of a library."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError
from tests.twin.recording_files import (
    CAPPED,
    RUN,
    STEPS,
    edited,
    lines_of,
    load_or_refuse,
    measured,
    quick,
    write,
)
from twin.recordings import load_recordings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "other"}, "meta: missing"),
        ({"quota": -1}, "meta.quota = -1: must be a number in 0.001 to 1024"),
        ({"quota": "0.4"}, "meta.quota = '0.4': must be a number"),
        ({"quota": 0.5}, "meta.quota = 0.5: the cgroup lines of the run say 0.4 cores"),
        ({"quota": math.nan}, "meta.quota = nan: must be a number"),
        ({"quota": 10**400}, "meta.quota = '1000000"),
        ({"secs": 5}, "meta.secs = 5.0: must be more than 9 s"),
        ({"t_quota": 5.0}, "cgroup: 0 usable cgroup lines"),
        ({"t_quota": None}, "meta.t_quota = 'None': must be a number"),
        ({"dl_max_rb": 12.5}, "meta.dl_max_rb = 12.5: must be a whole number"),
        ({"ul_max_rb": 1000}, "meta.ul_max_rb = 1000: must be a number in 0 to 275"),
        ({"ues": 0}, "meta.ues = 0: must be a number in 1 to 64"),
    ],
)
def test_a_meta_line_that_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = edited(tmp_path, CAPPED, lambda line: line.update(change) if line["kind"] == "meta" else None)
    with pytest.raises(InputError, match="^" + re.escape(f"{file.name}: {said}")):
        load_recordings(file)


def test_a_recording_without_the_lines_that_it_needs_is_named(tmp_path: Path) -> None:
    lines = lines_of(CAPPED)
    for kept, said in (
        ([x for x in lines if '"kind": "meta"' not in x], "meta: missing"),
        ([x for x in lines if '"cgroup"' not in x], "cgroup: 0 usable cgroup lines"),
        ([x for x in lines if '"cells"' not in x], "msg.cells: 0 usable cells messages"),
        ([*lines, lines[0].replace('"order": 2', '"order": 3')], "meta: two meta lines that differ"),
        (["hello", "world"], "most lines are no JSON objects"),
        ([], "meta: missing"),
    ):
        file = write(tmp_path, CAPPED, "\n".join(kept))
        with pytest.raises(InputError, match=re.escape(f"{file.name}: {said}")):
            load_recordings(file)
    no_change = [x for x in lines_of(STEPS) if '"set_cpus"' not in x]
    with pytest.raises(InputError, match=re.escape("steps_u1.jsonl: event.set_cpus: missing")):
        load_recordings(write(tmp_path, STEPS, "\n".join(no_change)))


def test_nothing_to_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("no *.jsonl or *.jsonl.gz in it")):
        load_recordings(tmp_path)
    with pytest.raises(InputError, match="gone: no such file"):
        load_recordings(tmp_path / "gone")
    with pytest.raises(InputError, match="null: no such file"):
        load_recordings(Path("/dev/null"))


def test_a_zip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.jsonl.gz"
    bomb.write_bytes(b"".join(gzip.compress(bytes(2**24)) for _ in range(5)))
    with pytest.raises(InputError, match=r"bomb.jsonl.gz: unpacks to more than 64 MB"):
        load_recordings(bomb)
    many = tmp_path / "many.jsonl"
    many.write_bytes(b"\n" * 300_000)
    with pytest.raises(InputError, match=r"many.jsonl: has more than 200000 lines"):
        load_recordings(many)
    deep = write(
        tmp_path, CAPPED, "\n".join([*lines_of(CAPPED), "[" * 200_000, '{"t":' + "9" * 5000 + "}", "x" * 300_000])
    )
    result = load_recordings(deep)
    assert replace(result.settings[0], source="") == replace(measured(CAPPED).settings[0], source="")
    assert len(result.notes) == 2


def test_remote_commands_and_a_run_that_is_there_twice_are_skipped_with_a_note(tmp_path: Path) -> None:
    for name in (CAPPED.name, "again.jsonl.gz"):
        (tmp_path / name).write_bytes(CAPPED.read_bytes())
    commands = [{"kind": "meta", "up": True}, {"kind": "cmd", "t": 1.0, "req": {"cmd": "quit"}, "rep": "{}"}]
    (tmp_path / "commands.jsonl").write_text("\n".join(map(json.dumps, commands)))
    result = load_recordings(tmp_path)
    assert len(result.settings) == 1
    assert any(note.startswith("commands.jsonl: skipped, it records remote commands") for note in result.notes)
    assert any("skipped, it is the same run as" in note for note in result.notes)


def test_a_restart_of_the_process_is_noted_and_does_not_bend_the_means(tmp_path: Path) -> None:
    start = json.loads(lines_of(CAPPED)[0])["t_quota"] + 15.5
    names = ("usage_ns", "nr_periods", "nr_throttled", "throttled_ns")
    first: dict[str, int] = {}

    def restart(line: dict[str, Any]) -> None:
        if line["kind"] == "cgroup" and line["t"] > start:
            for name in names:
                line[name] -= first.setdefault(name, line[name])

    result = load_recordings(edited(tmp_path, CAPPED, restart))
    before, after = measured(CAPPED).settings[0], result.settings[0]
    assert any("go backwards" in note for note in result.notes)
    assert after.cpu_cores == pytest.approx(before.cpu_cores, rel=0.01)
    assert after.throttled_share == pytest.approx(before.throttled_share, rel=0.02)
    assert after.window_s == pytest.approx(before.window_s - 1.0, abs=0.01)


# Whatever happens to the bytes of a real file: a sane result or one line that names the file.


@quick
@given(data=st.data(), path=st.sampled_from([RUN, CAPPED, STEPS]))
def test_order_and_repeats_of_lines_do_not_matter(tmp_path: Path, data: st.DataObject, path: Path) -> None:
    lines = list(lines_of(path))
    seed = data.draw(st.integers(0, 2**32))
    chance = random.Random(seed)
    lines += chance.sample(lines, k=data.draw(st.integers(0, len(lines))))
    chance.shuffle(lines)
    result, truth = load_recordings(write(tmp_path, path, "\n".join(lines))), measured(path)
    assert result.steps == truth.steps
    assert [replace(s, source="") for s in result.settings] == [replace(s, source="") for s in truth.settings]


@quick
@given(data=st.data(), path=st.sampled_from([RUN, CAPPED, STEPS]))
def test_damaged_compressed_bytes_give_a_sane_result_or_one_line(
    tmp_path: Path, data: st.DataObject, path: Path
) -> None:
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["cut", "drop", "flip", "insert"])):
            case "cut":
                del raw[max(place, 1) :]
            case "drop":
                del raw[place : place + data.draw(st.integers(1, 50))]
            case "flip":
                raw[place] ^= data.draw(st.integers(1, 255))
            case _:
                raw[place:place] = data.draw(st.binary(min_size=1, max_size=20))
        raw = raw or bytearray(b"\n")
    file = tmp_path / path.name
    file.write_bytes(raw)
    load_or_refuse(file)


@quick
@given(data=st.data(), path=st.sampled_from([RUN, CAPPED]))
def test_lost_and_broken_text_gives_a_sane_result_or_one_line(tmp_path: Path, data: st.DataObject, path: Path) -> None:
    text = "\n".join(lines_of(path))
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(text)))
        stop = start + data.draw(st.sampled_from([0, 1, 3, 400, 20_000]))
        text = text[:start] + data.draw(st.text(max_size=12)) + text[stop:]
    load_or_refuse(write(tmp_path, path, text.encode("utf-8", "replace").decode()))


BAD_VALUES: list[Any] = [math.nan, math.inf, -math.inf, -1, 1e300, 10**400, None, "7", [], {}, True]


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(node, dict):
        return [p for k, v in node.items() for p in leaves(v, (*path, k))]
    if isinstance(node, list):
        return [p for i, v in enumerate(node) for p in leaves(v, (*path, i))]
    return [path]


@quick
@given(data=st.data(), path=st.sampled_from([RUN, CAPPED, STEPS]))
def test_absurd_values_in_some_lines_are_left_out_and_barely_move_the_means(
    tmp_path: Path, data: st.DataObject, path: Path
) -> None:
    lines = list(lines_of(path))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(1, len(lines) - 1))  # the meta line has a test of its own
        content = json.loads(lines[at])
        leaf = data.draw(st.sampled_from(leaves(content)))
        node = content
        for key in leaf[:-1]:
            node = node[key]
        node[leaf[-1]] = data.draw(st.sampled_from(BAD_VALUES))
        lines[at] = json.dumps(content)
    result = load_or_refuse(write(tmp_path, path, "\n".join(lines)))
    assert result is not None, "a few bad lines are no reason to refuse a run"
    for got, truth in zip(result.settings, measured(path).settings, strict=True):
        spread = 5.0 * truth.dl_mbps_std / math.sqrt(truth.reports)
        assert got.dl_mbps == pytest.approx(truth.dl_mbps, abs=spread)
        assert got.cpu_cores == pytest.approx(truth.cpu_cores, abs=0.02)
        assert got.throttled_periods == pytest.approx(truth.throttled_periods, abs=0.05)


@quick
@given(data=st.data())
def test_any_meta_line_gives_a_sane_result_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    lines = list(lines_of(CAPPED))
    meta = json.loads(lines[0])
    for key in data.draw(st.lists(st.sampled_from(sorted(meta)), min_size=1, max_size=3)):
        if data.draw(st.booleans()):
            meta.pop(key, None)
        else:
            numbers = st.floats(allow_nan=True) | st.integers() | st.floats(0.0, 100.0) | st.integers(0, 300)
            meta[key] = data.draw(numbers | st.sampled_from(BAD_VALUES))
    lines[0] = json.dumps(meta)
    load_or_refuse(write(tmp_path, CAPPED, "\n".join(lines)))
