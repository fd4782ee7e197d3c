import csv
import gzip
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import twin
from col.errors import InputError
from twin.recordings import About, Recordings, Setting, load_recordings, packaged_recordings

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


# Against the recorder's own summaries, which were computed by other code.

SUMMARY_COLUMNS = {
    "window_s": "window_s", "cpu_used_cores": "cpu_cores", "throttled_periods_frac": "throttled_periods",
    "throttled_s_per_s": "throttled_share", "host_steal_frac": "host_steal_share", "n_sched_reports": "reports",
    "n_reports": "reports", "dl_Mbps_mean": "dl_mbps", "dl_Mbps_std": "dl_mbps_std", "ul_Mbps_mean": "ul_mbps",
    "ul_Mbps_std": "ul_mbps_std", "dl_ok_per_s": "ok_per_s_dl", "dl_nok_per_s": "nok_per_s_dl",
    "dl_nok_ratio": "nok_ratio_dl", "ul_ok_per_s": "ok_per_s_ul", "ul_nok_per_s": "nok_per_s_ul",
    "ul_nok_ratio": "nok_ratio_ul", "dl_mcs": "mcs_dl", "error_ind_per_s": "errors_per_s",
    "late_dl_harqs_per_s": "late_harqs_dl_per_s", "late_ul_harqs_per_s": "late_harqs_ul_per_s",
    "slots_sched_per_s": "slots_scheduled_per_s", "dl_max_prb": "cap_prb_dl", "ul_max_prb": "cap_prb_ul",
    "ues": "n_ue", "rep": "repetition", "quota_cores": "quota_cores",
}  # fmt: skip


@pytest.mark.parametrize(("table", "runs", "ddof"), [("summary.csv", 20, 1), ("load.csv", 12, 0)])
def test_means_of_every_setting_are_those_of_the_recorder_within_its_rounding(table: str, runs: int, ddof: int) -> None:
    by_tag = {s.source.removesuffix(".jsonl.gz"): s for s in campaign().settings}
    rows = list(csv.DictReader((DATA / table).open()))
    assert len(rows) == runs
    for row in rows:
        setting = by_tag[row["tag"]]
        for theirs, ours in SUMMARY_COLUMNS.items():
            if theirs not in row:
                continue
            value = float(getattr(setting, ours))
            if theirs.endswith("_std") and ddof == 0:  # that table divides by n
                value *= math.sqrt((setting.reports - 1) / setting.reports)
            tolerance = 3e-3 if theirs == "window_s" else 6e-5  # the recorder wrote nominal seconds, and 4 to 5 digits
            assert value == pytest.approx(float(row[theirs]), abs=tolerance), (row["tag"], theirs)


def test_the_step_run_is_that_of_the_recorder_second_by_second() -> None:
    rows = list(csv.DictReader((DATA / "steps.csv").open()))
    steps = campaign().steps
    assert len(rows) == len(steps) == 145
    for row, step in zip(rows, steps, strict=True):
        assert step.t_s == pytest.approx(float(row["t_s"]), abs=0.006)
        assert step.since_change_s == pytest.approx(float(row["since_change_s"]), abs=0.006)
        assert step.quota_cores == float(row["quota_cores"])
        assert step.dl_mbps == pytest.approx(float(row["dl_Mbps"]), abs=6e-4)
        assert step.ul_mbps == pytest.approx(float(row["ul_Mbps"]), abs=6e-4)
        assert step.cpu_cores == pytest.approx(float(row["cpu_used_cores"]), abs=6e-4)
        assert step.throttled_periods == pytest.approx(float(row["throttled_frac"]), abs=6e-4)


def test_files_and_meta_lines_say_users_caps_and_repetitions() -> None:
    by_name = {s.source.removesuffix(".jsonl.gz"): s for s in campaign().settings}
    assert {s.n_ue for s in by_name.values()} == {1, 2}
    two, capped, off = by_name["q0.700_u2_r1"], by_name["d12_u12_q0.40"], by_name["d0_u25_q1.90"]
    assert (two.quota_cores, two.n_ue, two.cap_prb_dl, two.cap_prb_ul) == (0.7, 2, 25, 25)
    assert (capped.quota_cores, capped.cap_prb_dl, capped.cap_prb_ul) == (0.4, 12, 12)
    assert (off.cap_prb_dl, off.cap_prb_ul) == (0, 25)
    assert by_name["q0.600_u1_r2"].repetition == 2
    assert by_name["d0_u0_q1.90"].mcs_dl is None, "nothing was sent, so there is no MCS"


# What comes with the package.


def test_the_packaged_table_is_what_the_raw_recordings_give() -> None:
    again = campaign().to_json()
    assert again == (DATA / "measured.json").read_text(), "make it again: load_recordings(folder).to_json()"
    assert packaged_recordings() == campaign()
    assert packaged_recordings().about.radio_mode == "rt"


def test_the_packaged_files_name_no_path_of_a_machine() -> None:
    texts = ["\n".join(lines_of(f)) for f in DATA.glob("*/*.gz")] + [
        f.read_text() for f in DATA.iterdir() if f.is_file()
    ]
    assert not any(re.search(r"/(home|root|tmp|work|mnt|usr)/", text) for text in texts)


def test_radio_mode_and_mcs_table_are_read_off_the_messages_where_nothing_states_them(tmp_path: Path) -> None:
    bare = load_recordings(DATA / "runs")
    assert (bare.about.radio_mode, bare.about.mcs_table, bare.about.stack) == ("rt", "qam256", "not stated")
    (tmp_path / CAPPED.name).write_bytes(CAPPED.read_bytes())
    (tmp_path / "about.json").write_text(json.dumps({"radio_mode": "zmq", "stack": "mine"}))
    stated = load_recordings(tmp_path)
    assert (stated.about.radio_mode, stated.about.mcs_table, stated.about.stack) == ("zmq", "qam256", "mine")
    assert any("radio_mode = 'zmq', but the messages look like 'rt'" in note for note in stated.notes)


def test_reports_that_stretch_under_throttling_show_a_lock_step_radio(tmp_path: Path) -> None:
    meta = json.loads(lines_of(CAPPED)[0])

    def stretch(line: dict[str, Any]) -> None:
        if "t" in line and "cells" in line.get("msg", {}):
            line["t"] = meta["t_quota"] + 2.0 * (line["t"] - meta["t_quota"])

    assert load_recordings(edited(tmp_path, CAPPED, stretch)).about.radio_mode == "zmq"


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"radio_mode": "udp"}, "about.json: radio_mode = 'udp': must be one of rt, zmq, unknown"),
        ({"stak": "x"}, "about.json: stak: unknown key"),
        ({"stack": 5}, "about.json: stack: must be one line of text"),
        ([], "about.json: must be a JSON object"),
    ],
)
def test_a_wrong_about_file_is_refused(tmp_path: Path, about: object, said: str) -> None:
    (tmp_path / CAPPED.name).write_bytes(CAPPED.read_bytes())
    (tmp_path / "about.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=re.escape(said)):
        load_recordings(tmp_path)


# The recording id and the stored table.


def test_the_id_follows_the_values_and_not_their_description() -> None:
    whole = campaign()
    assert replace(whole, about=About(machine="another"), notes=("x",)).recording_id == whole.recording_id
    faster = replace(whole.settings[3], dl_mbps=whole.settings[3].dl_mbps + 1e-6)
    assert (
        replace(whole, settings=(*whole.settings[:3], faster, *whole.settings[4:])).recording_id != whole.recording_id
    )
    assert replace(whole, steps=whole.steps[:-1]).recording_id != whole.recording_id


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"d0_u25_q1.90.jsonl.gz", 1.9', '"d0_u25_q1.90.jsonl.gz", 1.8', "recording_id"),
        ('"d0_u25_q1.90.jsonl.gz", 1.9', '"d0_u25_q1.90.jsonl.gz", NaN', r"settings.rows\[1\].*quota_cores must be"),
        ('"d0_u25_q1.90.jsonl.gz", 1.9', '"d0_u25_q1.90.jsonl.gz", null', r"settings.rows\[1\].*quota_cores must be"),
        ('"d0_u25_q1.90.jsonl.gz", 1.9', '"d0_u25_q1.90.jsonl.gz"', r"settings.rows\[1\]: must be a list of 28"),
        ('"quota_cores"', '"quota"', "settings: must be a table with the columns source, quota_cores"),
        ("rantwin-recordings/1", "rantwin-recordings/9", "format = 'rantwin-recordings/9': must be"),
        ('"rt"', '"udp"', "about.radio_mode"),
        ('"notes": []', '"notes": [3]', "notes: must be a list of lines"),
        ("{", "", "not a JSON document"),
    ],
)
def test_a_stored_table_that_was_changed_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "measured.json"
    text = campaign().to_json()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match="^measured.json: .*" + said):
        load_recordings(file)


@quick
@given(data=st.data())
def test_no_change_of_one_stored_value_goes_unnoticed(data: st.DataObject) -> None:
    document = json.loads(packaged_recordings().to_json())
    table = document[data.draw(st.sampled_from(["settings", "steps"]))]
    row = data.draw(st.sampled_from(table["rows"]))
    place = data.draw(st.integers(0, len(row) - 1))
    value: Any = data.draw(st.sampled_from([-1.0, 0.123456, 10**400, "x", None, [], True, math.inf, {}]))
    row[place], old = value, row[place]
    if value == old and type(value) is type(old):
        return
    with pytest.raises(InputError):
        Recordings.from_json(json.dumps(document))


# Files that are not as they should be.


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


def test_every_setting_has_its_unit_or_meaning_in_its_name() -> None:
    plain = {
        "source",
        "n_ue",
        "repetition",
        "reports",
        "throttled_share",
        "throttled_periods",
        "mcs_dl",
        "host_steal_share",
    }
    units = r"_(cores|s|mbps|mbps_std|per_s|per_s_dl|per_s_ul)$|^cap_prb_|^nok_ratio_"
    assert all(f.name in plain or re.search(units, f.name) for f in fields(Setting))
