"""What real iperf3 wrote, version by version, and whatever pieces it comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.telemetry.iperf3_output import Documents, Ended, Failed, Interval, read_document
from tests.bridge.iperf3_made import event, interval

RECORDED = Path(__file__).parent / "iperf3_recorded"


def read(name: str) -> list[Interval | Failed | Ended]:
    documents = Documents()
    return [item for one in documents.feed((RECORDED / name).read_text()) for item in read_document(one)]


def intervals(name: str, *, sender: bool) -> list[Interval]:
    return [one for one in read(name) if isinstance(one, Interval) and one.sender == sender]


@pytest.mark.parametrize(
    ("name", "megabits"),
    [
        ("server-3.12-udp.json", 9.13),
        ("server-3.21-udp-stream.jsonl", 10.0),
        ("client-3.21-udp-reverse-stream.jsonl", 8.0),
        ("client-3.12-udp-bidir.json", 10.0),
    ],
)
def test_what_real_receivers_wrote_is_read_whole(name, megabits):
    found = intervals(name, sender=False)
    assert len(found) >= 3
    rate = sum(one.bits for one in found) / sum(one.seconds for one in found) / 1e6
    assert rate == pytest.approx(megabits, rel=0.05)
    for one in found:
        assert one.jitter_ms is not None
        assert one.lost is not None
        assert one.packets is not None
        assert (one.wall_end_s is None) == name.endswith("jsonl")


def test_what_real_senders_wrote_has_no_jitter_and_no_loss():
    for name in ("client-3.21-udp-stream.jsonl", "client-3.12-udp-bidir.json"):
        found = intervals(name, sender=True)
        assert len(found) >= 3
        assert {(one.jitter_ms, one.lost) for one in found} == {(None, None)}


def test_tcp_has_a_rate_alone():
    found = intervals("server-3.12-tcp.json", sender=False)
    assert found
    assert {(one.jitter_ms, one.lost, one.packets) for one in found} == {(None, None, None)}


def test_the_sums_agree_with_what_iperf3_says_at_the_end_of_the_run():
    end = json.loads((RECORDED / "server-3.12-udp.json").read_text())["end"]["sum"]
    found = intervals("server-3.12-udp.json", sender=False)
    assert sum(one.lost or 0 for one in found) == end["lost_packets"]
    assert sum(one.packets or 0 for one in found) == end["packets"]
    assert found[-1].jitter_ms == pytest.approx(end["jitter_ms"])


def test_real_errors_are_told_in_their_words():
    for name in ("client-3.12-error.json", "client-3.21-error-stream.jsonl"):
        assert any(isinstance(one, Failed) and "unable to connect" in one.text for one in read(name))


@settings(max_examples=40)
@given(st.lists(st.integers(1, 400), max_size=30), st.sampled_from(sorted(path.name for path in RECORDED.iterdir())))
def test_documents_are_found_in_whatever_pieces_they_come(lengths, name):
    text = (RECORDED / name).read_text()
    whole = list(Documents().feed(text))
    assert whole
    documents, at = Documents(), 0
    found: list[dict[str, Any]] = []
    for length in lengths:
        found += documents.feed(text[at : at + length])
        at += length
    found += documents.feed(text[at:])
    assert found == whole


@settings(max_examples=40)
@given(st.text(max_size=200))
def test_whatever_stands_before_a_document_does_not_hide_it(noise):
    good = event("interval", interval(1.0))
    found = list(Documents().feed(noise + "\n" + good + good))
    assert json.loads(good) in found
