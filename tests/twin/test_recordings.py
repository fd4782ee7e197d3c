"""Recordings: their means are those of the recorder's own summaries, and a stored table is not changed unnoticed."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError
from tests.twin.recording_files import (
    CAPPED,
    DATA,
    campaign,
    edited,
    lines_of,
    quick,
)
from twin.recordings import About, Recordings, Setting, load_recordings, packaged_recordings

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
