"""Our types to the wire and back, and what is refused there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import testbed
from bridge.backends.base import BackendDescription, Reading
from bridge.convert import (
    entry_from,
    entry_to,
    plan_from,
    plan_to,
    promotion_from,
    promotion_to,
    request_from,
    request_to,
    status_from,
    status_to,
    trial_timeout_from,
)
from bridge.convert_plant import windows_from, windows_to
from bridge.convert_values import duration_from, duration_to, timestamp_from, timestamp_to
from bridge.identity import Identity, Role
from bridge.plan import Change, Mode, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State, WatchedWindow
from bridge.reasons import Reason, ReasonCode
from bridge.testbed import JournalEntry
from col.certificate import SignedCertificate
from col.errors import InputError
from col.plant import Control, Metric, MetricKind, PlantDescription, Provenance, Windows
from col.specification import Verdict
from protos import generate
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

PROTO = (generate.ROOT / generate.PROTO).read_text(encoding="utf-8")

# --- there and back ---------------------------------------------------------------------------------------------------
names = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=12)
lines = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=30)
numbers = st.floats(-1e9, 1e9)
maps = st.dictionaries(names, numbers, max_size=4)
ids = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,20}\Z")
seconds = st.integers(1, 10**14).map(lambda n: n / 1e9)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
reasons = st.builds(
    Reason, code=st.sampled_from(ReasonCode), text=lines, facts=st.dictionaries(names, lines, max_size=3)
)
requests = st.builds(
    PlanRequest,
    promotion_id=ids,
    target=maps,
    certificate=st.none()
    | st.builds(
        SignedCertificate,
        payload=st.binary(min_size=1, max_size=50),
        signature=st.binary(min_size=64, max_size=64),
    ),
    mode=st.sampled_from(Mode),
    why=lines,
    windows=st.integers(0, 1000),
    lease_ttl_s=st.integers(10**6, 10**13).map(lambda n: n / 1e9),
    trial_timeout_s=st.integers(10**6, 10**14).map(lambda n: n / 1e9),
    auto_confirm=st.booleans(),
    dry_run=st.booleans(),
)
plans = st.builds(
    Plan,
    request=requests,
    before=maps,
    after=maps,
    changes=st.lists(st.builds(Change, control=names, before=numbers, after=numbers, unit=lines), max_size=3).map(
        tuple
    ),
    digest=digests,
    reasons=st.lists(reasons, max_size=3).map(tuple),
    drift=st.none() | st.floats(0, 1e6) | st.just(math.inf),
    expires_in_s=seconds,
    notes=st.lists(lines, max_size=3).map(tuple),
)
margins = st.floats(-1e6, 1e6) | st.sampled_from([math.inf, -math.inf])
promotions = st.builds(
    Promotion,
    promotion_id=ids,
    plan=plans,
    state=st.sampled_from(State),
    who=st.builds(Identity, name=names, role=st.sampled_from(Role), proof=lines),
    version=st.integers(0, 2**40),
    created_wall_s=st.floats(1e9, 4e9),
    reasons=st.lists(reasons, max_size=3).map(tuple),
    verdict=st.none() | st.sampled_from(Verdict),
    robustness=st.none() | margins,
    windows=st.lists(
        st.builds(
            WatchedWindow,
            sequence=st.integers(0, 2**40),
            robustness_low=margins,
            robustness_high=margins,
            missing=st.lists(names, max_size=2, unique=True).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    windows_needed=st.integers(0, 1000),
    first_sequence=st.none() | st.integers(0, 2**40),
    lease_remaining_s=st.none() | seconds,
    deadline_remaining_s=st.none() | seconds,
    auto_confirm=st.booleans(),
    cause=st.sampled_from(Cause),
    cause_text=lines,
    conflicts=st.dictionaries(names, st.tuples(numbers, numbers), max_size=3),
    read_back=maps,
)


@given(requests)
def test_a_request_comes_back_as_it_went(request: PlanRequest) -> None:
    assert request_from(request_to(request)) == request


@settings(max_examples=50)
@given(plans)
def test_a_plan_comes_back_as_it_went(plan: Plan) -> None:
    assert plan_from(plan_to(plan)) == plan


@settings(max_examples=50)
@given(promotions)
def test_a_promotion_comes_back_as_it_went(promotion: Promotion) -> None:
    message = pb.Promotion.FromString(promotion_to(promotion).SerializeToString())
    assert promotion_from(message) == promotion


details = st.dictionaries(
    lines,
    st.recursive(
        st.none() | st.booleans() | st.integers() | numbers | lines, lambda v: st.lists(v, max_size=2), max_leaves=4
    ),
    max_size=2,
)


@given(
    st.builds(
        JournalEntry,
        number=st.integers(0, 2**40),
        wall_s=st.floats(1e7, 4e9),  # before that, a float has more than nanoseconds
        monotonic_s=st.floats(0, 1e8),
        promotion_id=ids | st.just(""),
        who=lines,
        actor=lines,
        kind=lines,
        state_before=lines,
        state_after=lines,
        details=details,
        previous_hash=digests,
        hash=digests,
    )
)
def test_an_entry_of_the_journal_comes_back_to_the_last_bit_that_its_hash_covers(entry: JournalEntry) -> None:
    back = entry_from(pb.JournalEntry.FromString(entry_to(entry).SerializeToString()))
    assert back == entry
    assert repr(back.details) == repr(dict(sorted(entry.details.items()))), "whole numbers stay whole"


def a_status() -> testbed.TestbedStatus:
    plant = PlantDescription(
        plant_id="bed",
        controls=(Control(name="cpu", unit="cores", lower=0.1, upper=4, resolution=0.1, reference=2, live=False),),
        metrics=(Metric(name="late", unit="share", kind=MetricKind.TARGET, description="late slots"),),
        window_s=15.0,
        wall_window_s=0.08,
        emulated=True,
        notes=("EMULATED",),
    )
    backend = BackendDescription(
        plant=plant,
        stack="srsRAN 25.10",
        radio_mode="zmq",
        gnbs={"gnb1": ("cpu",)},
        gnb_metrics={"gnb1": ("late",)},
        estimated=frozenset({"late"}),
    )
    return testbed.TestbedStatus(
        backend=backend,
        reading=Reading(controls={"cpu": 1.5}, at_s=12.25, next_sequence=3, automation=True),
        confirmed={"cpu": 2.0},
        specification="always[0,4](late <= 0.1)",
        alpha=0.9,
        active=None,
        exploration_enabled=True,
        journal_entries=7,
        drift=None,
        agent_version="0.1",
        problems=("the disk is full",),
    )


def test_a_status_comes_back_as_it_went() -> None:
    assert status_from(status_to(a_status())) == a_status()


def test_a_status_without_a_reading_or_drift_does_not_read_zero() -> None:
    message = status_to(a_status())
    message.ClearField("reading")
    assert status_from(message).reading is None
    assert status_from(message).drift is None


columns = st.lists(numbers | st.just(math.nan), min_size=3, max_size=3).map(np.array)


@given(
    st.dictionaries(names.map("c_".__add__), columns, max_size=3),
    st.dictionaries(names.map("m_".__add__), columns, max_size=3),
    st.data(),
)
def test_windows_come_back_as_they_went_and_what_is_missing_stays_missing(
    controls: dict[str, np.ndarray], metrics: dict[str, np.ndarray], data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, 3))
    windows = Windows(
        sequence=np.array([5, 6, 9], dtype=np.int64),
        start_s=np.array([0.0, 15.0, 60.0]),
        end_s=np.array([15.0, 30.0, 75.0]),
        run=np.array([0, 0, 1], dtype=np.int64),
        controls=controls,
        metrics=metrics,
        provenance={name: Provenance.ESTIMATED for name in list(metrics)[:1]},
    ).take(slice(0, n))
    back = windows_from(pb.Windows.FromString(windows_to(windows).SerializeToString()))
    for name in ("sequence", "start_s", "end_s", "run"):
        np.testing.assert_array_equal(getattr(back, name), getattr(windows, name))
        assert getattr(back, name).dtype == getattr(windows, name).dtype
    assert list(back.controls) == list(controls)
    assert list(back.metrics) == list(metrics)
    for name, column in {**windows.controls, **windows.metrics}.items():
        np.testing.assert_array_equal(back.column(name), column)
    assert back.provenance == windows.provenance


@given(st.floats(0, 1e9), st.floats(0, 4e9))
def test_durations_keep_nanoseconds_and_dates_everything(duration_s: float, date_s: float) -> None:
    assert duration_from(duration_to(duration_s, "d"), "d") == pytest.approx(duration_s, abs=1e-9, rel=1e-15)
    if date_s > 1e9:  # a float has no nanoseconds left there
        assert timestamp_from(timestamp_to(date_s, "t"), "t") == date_s


# --- what is refused --------------------------------------------------------------------------------------------------


def request_message(**changes: object) -> pb.PromotionRequest:
    message = request_to(PlanRequest(promotion_id="p1", target={"cpu": 1.0}))
    for name, value in changes.items():
        if value is None:
            message.ClearField(name)
        else:
            setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("promotion_id", request_message(promotion_id="")),
        ("promotion_id", request_message(promotion_id="a b")),
        ("promotion_id", request_message(promotion_id="x" * 129)),
        ("promotion_id", request_message(promotion_id="../../etc")),
        ("mode", request_message(mode=0)),
        ("mode", request_message(mode=77)),
        ("why", request_message(why="x" * 1001)),
        ("why", request_message(why="\x1b[31mred")),
        ("watched_windows", request_message(watched_windows=-1)),
        ("watched_windows", request_message(watched_windows=10**6)),
    ],
)
def test_a_request_that_is_not_sound_is_refused_by_the_name_of_its_field(
    key: str, message: pb.PromotionRequest
) -> None:
    with pytest.raises(InputError, match=key):
        request_from(message)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_a_target_that_is_no_reasonable_number_is_refused(value: float) -> None:
    message = request_message()
    message.target["cpu"] = value
    with pytest.raises(InputError, match=r"target\.cpu"):
        request_from(message)
    with pytest.raises(InputError, match=r"target\.cpu"):
        request_to(PlanRequest(promotion_id="p1", target={"cpu": value}))


@pytest.mark.parametrize("name", ["", "x" * 201, "cpu\n", "\x00", "\u202e"])
def test_a_control_with_an_odd_name_is_refused(name: str) -> None:
    message = request_message()
    message.target[name] = 1.0
    with pytest.raises(InputError, match="printable"):
        request_from(message)


@pytest.mark.parametrize(
    "duration",
    [
        Duration(seconds=-1),
        Duration(seconds=0),
        Duration(seconds=10**10),
        Duration(seconds=2**62),
        Duration(seconds=1, nanos=10**9),
        Duration(seconds=1, nanos=-1),
    ],
)
def test_an_absurd_lease_or_deadline_is_refused(duration: Duration) -> None:
    message = request_message()
    message.lease_ttl.CopyFrom(duration)
    with pytest.raises(InputError, match="lease_ttl"):
        request_from(message)
    with pytest.raises(InputError, match="trial_timeout"):
        trial_timeout_from(pb.ExtendTrialRequest(promotion_id="p", trial_timeout=duration))


def test_a_lease_that_is_absent_is_the_default_and_not_zero() -> None:
    assert request_from(request_message(lease_ttl=None)).lease_ttl_s == 10.0


@pytest.mark.parametrize(("payload", "signature"), [(b"", b"s" * 64), (b"{}", b"s" * 63), (b"x" * 300_000, b"s" * 64)])
def test_a_certificate_of_the_wrong_size_is_refused_at_both_ends(payload: bytes, signature: bytes) -> None:
    certificate = SignedCertificate(payload=payload, signature=signature)
    with pytest.raises(InputError, match="certificate"):
        request_to(PlanRequest(promotion_id="p", target={}, certificate=certificate))
    message = request_message()
    message.certificate.CopyFrom(pb.SignedCertificate(payload=payload, signature=signature))
    with pytest.raises(InputError, match="certificate"):
        request_from(message)


@pytest.mark.parametrize(
    "message",
    [
        pb.Windows(sequences=[1]),
        pb.Windows(sequences=[2, 1], starts_s=[0, 0], ends_s=[0, 0], runs=[0, 0]),
        pb.Windows(sequences=[-1], starts_s=[0], ends_s=[0], runs=[0]),
        pb.Windows(sequences=[1], starts_s=[math.nan], ends_s=[0], runs=[0]),
        pb.Windows(sequences=[1], starts_s=[0], ends_s=[0], runs=[0], metrics=[pb.Column(name="m")]),
        pb.Windows(sequences=[1], starts_s=[0], ends_s=[0], runs=[0], metrics=[pb.Column(name="m", values=[math.inf])]),
        pb.Windows(controls=[pb.Column(name="m")], metrics=[pb.Column(name="m")]),
        pb.Windows(metrics=[pb.Column(name="m"), pb.Column(name="m")]),
        pb.Windows(metrics=[pb.Column(name="m", provenance=9)]),  # type: ignore[arg-type]
    ],
)
def test_windows_that_are_not_sound_are_refused(message: pb.Windows) -> None:
    with pytest.raises(InputError):
        windows_from(message)


def test_what_the_agent_says_to_people_is_one_printable_line() -> None:
    message = status_to(a_status())
    message.problems[0] = "\x1b[2J\nall is well" + "x" * 5000
    (problem,) = status_from(message).problems
    assert problem.isprintable()
    assert len(problem) <= 2000
