"""States of the screen made by hand: four gNBs, two hosts, a twin and an emulated testbed beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bridge.identity import Identity, Role
from bridge.plan import Change, Mode, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State, WatchedWindow
from bridge.reasons import Reason, ReasonCode
from bridge.testbed import JournalEntry
from col.plant import Control
from col.specification import Verdict
from tui.watch.state import (
    PHI,
    Connection,
    GapRow,
    GapView,
    GnbPlace,
    PlantView,
    PromotionView,
    RegionView,
    Rehearsal,
    RehearsalView,
    Row,
    RowGroup,
    RowKind,
    StepView,
    TrialPoint,
    WatchState,
)

__all__ = ["CELL_METRICS", "made_plan", "made_promotion", "made_region", "made_state"]

CELL_METRICS = (
    ("thp_dl", "Mbit/s", 10.0, True),
    ("thp_ul", "Mbit/s", 9.0, True),
    ("dly_dl", "ms", 6.0, True),
    ("dly_ul", "ms", 9.0, True),
    ("jit_ul", "ms", 1.5, True),
    ("load_dl", "Mbit/s", 10.0, False),
    ("load_ul", "Mbit/s", 10.0, False),
    ("prb_dl", "%", 41.0, False),
    ("prb_ul", "%", 52.0, False),
    ("cpuu_du", "core", 0.83, False),
    ("stall_du", "1", 0.02, False),
    ("late_du", "1", 0.001, False),
    ("nok_dl", "1", 0.05, False),
    ("bs_dl", "kB", 80.0, False),
    ("bsr", "kB", 120.0, False),
    ("cap_du_dl", "Mbit/s", 23.0, False),
    ("cap_du_ul", "Mbit/s", 18.0, False),
    ("ues", "1", 3.0, False),
)
N = 240


def _rows(gnbs: int) -> tuple[Row, ...]:
    rows = [
        Row(key=PHI, label="φ robustness", unit="1", group=RowGroup.RAN, kind=RowKind.ROBUSTNESS, target=True,
            description="margin of the specification over the horizon that ends here; below 0 it fails"),
        Row(key="RAN:thp_dl", label="thp_dl sum", unit="Mbit/s", group=RowGroup.RAN, kind=RowKind.TOTAL,
            description="delivered, downlink; sum over gNBs", target=True),
    ]  # fmt: skip
    for cell in range(1, gnbs + 1):
        for stem, unit, _, target in CELL_METRICS:
            rows.append(Row(key=f"{stem}_{cell}", label=stem, unit=unit, group=RowGroup.GNB, place=str(cell),
                            description=f"what {stem} is", target=target, estimated=stem == "jit_ul"))  # fmt: skip
        for part in ("du", "cu"):
            rows.append(Row(key=f"cpu_{part}_{cell}", label=f"cpu_{part}", unit="core", group=RowGroup.GNB,
                            place=str(cell), kind=RowKind.CONTROL, description="CPU quota"))  # fmt: skip
    for host in ("h1", "h2"):
        rows.append(Row(key=f"pow_{host}", label="pow", unit="W", group=RowGroup.HOST, place=host, target=True,
                        description="package power"))  # fmt: skip
    return tuple(rows)


def _values(rows: tuple[Row, ...], seed: int, shift: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    levels = {stem: level for stem, _, level, _ in CELL_METRICS} | {"cpu_du": 1.4, "cpu_cu": 0.9, "pow": 55.0}
    t = np.arange(N)
    values = {}
    for k, row in enumerate(rows):
        stem = row.key.rpartition("_")[0]
        level = levels.get(stem, 40.0 if row.key.startswith("RAN") else 0.12)
        wave = 0.06 * np.sin(t / (9 + k % 7)) + rng.normal(0, 0.03, N) + shift
        values[row.key] = np.full(N, level) if row.kind is RowKind.CONTROL else level * (1 + wave)
    return values


def made_state(gnbs: int = 4, *, testbed: bool = True) -> WatchState:
    """Return a screen with both plants, a region, a promotion in flight and a journal."""
    rows = _rows(gnbs)
    sequence = np.arange(1000, 1000 + N)
    twin_values, bed_values = _values(rows, 1, 0.0), _values(rows, 2, -0.03)
    if gnbs > 1:
        bed_values["dly_dl_2"] = bed_values["dly_dl_2"] * np.where(np.arange(N) > N - 20, 2.2, 1.0)
        bed_values["bsr_2"] = np.where(np.arange(N) > N - 4, np.nan, bed_values["bsr_2"])
    controls = {row.key: float(twin_values[row.key][-1]) for row in rows if row.kind is RowKind.CONTROL}
    twin = PlantView(
        name="twin", title="run 20261122-0412-cpu-allocation", connection=Connection.CONNECTED, rows=rows,
        sequence=sequence, values=twin_values, window_s=15.0, words="calibrated",
    )  # fmt: skip
    bed = PlantView(name="testbed", words="no testbed: rantwin serve starts the embedded one")
    gap = {}
    if testbed:
        bed = PlantView(
            name="testbed", title="embedded", emulated=True, connection=Connection.CONNECTED, rows=rows,
            sequence=sequence, values=bed_values, window_s=15.0, received_s=997.0, in_force=controls,
            confirmed=controls, words="emulated 25.10, rt",
        )  # fmt: skip
        for row in rows:
            a, b = twin.latest(row.key), bed.latest(row.key)
            low, high, inside = float("nan"), float("nan"), None
            if row.target and row.group is not RowGroup.RAN:
                mean = float(np.mean(bed_values[row.key][-5:]))
                low, high = a * 0.85, a * 1.15
                inside = bool(low <= mean <= high)
                gap[row.key] = GapRow(key=row.key, twin=a, testbed=b, gap=a - b, low=low, high=high, mean=mean,
                                      inside=inside)  # fmt: skip
            else:
                gap[row.key] = GapRow(key=row.key, twin=a, testbed=b, gap=a - b)
    places = tuple(
        GnbPlace(cell=str(c), cu=f"cu{c}", host="h1" if c <= max(gnbs // 2, 1) else "h2",
                 controls=(f"cpu_du_{c}", f"cpu_cu_{c}"))
        for c in range(1, gnbs + 1)
    )  # fmt: skip
    return WatchState(
        now_s=1000.0, now_wall_s=1_795_300_000.0, twin=twin, testbed=bed,
        gap=GapView(rows=gap, words="twin at the confirmed configuration", drift=0.62 if testbed else None),
        region=made_region(), topology=places, specification="always[0,4](thp_dl_1 >= 9.5 and dly_dl_1 <= 20)",
        rehearsal=RehearsalView(state=Rehearsal.RUNNING, run="20261122-0412-cpu-allocation", scenario="cpu-allocation",
                                passive_done=960, passive_total=960, trials_done=17, trials_total=60, violations=1,
                                region_share=0.041),
        promotions=made_promotions() if testbed else PromotionView(words="no testbed"),
    )  # fmt: skip


def made_region() -> RegionView:
    """Return a region over two of four controls with a bound that falls towards the origin."""
    controls = tuple(
        Control(name=f"cpu_{part}_{cell}", unit="core", lower=0.5, upper=2.5, resolution=0.05, reference=2.0)
        for cell in (1, 2) for part in ("du", "cu")
    )  # fmt: skip
    x, y = np.linspace(0.5, 2.5, 43), np.linspace(0.5, 2.5, 31)
    xx, yy = np.meshgrid(x, y)
    lower = 1 / (1 + np.exp(-14 * (xx - 0.95))) / (1 + np.exp(-14 * (yy - 0.75)))
    held = {c.name: c.reference for c in controls}
    trials = tuple(
        TrialPoint(
            number=k + 1, values={**held, "cpu_du_1": 2.0 - 0.06 * k, "cpu_cu_1": 2.0 - 0.07 * k},
            outcome="rolled back" if k == 14 else "held", verdict="fail" if k == 14 else "pass",
            robustness=-0.041 if k == 14 else 0.3 - 0.015 * k, limiting="dly_dl_1" if k > 11 else "",
        )
        for k in range(17)
    )  # fmt: skip
    return RegionView(
        controls=controls, x="cpu_du_1", y="cpu_cu_1", x_values=x, y_values=y, lower=lower, alpha=0.9, held=held,
        held_words="all other controls at their reference", trials=trials, confirmed=held,
        current={**held, "cpu_du_1": 1.4, "cpu_cu_1": 1.25}, cheapest={**held, "cpu_du_1": 1.2, "cpu_cu_1": 1.0},
        cursor=(1.4, 1.25), cursor_bound=0.984, cursor_cost=1.0,
        cursor_words=("dly_dl_1 <= 20: 0.991", "thp_dl_1 >= 9.5: 0.993 limits"),
    )  # fmt: skip


def made_plan(*, reasons: tuple[Reason, ...] = (), promotion_id: str = "p-7f3a") -> Plan:
    """Return a plan that lowers two controls."""
    before = {"cpu_du_1": 2.0, "cpu_cu_1": 2.0, "cpu_du_2": 2.0, "cpu_cu_2": 2.0}
    after = {**before, "cpu_du_1": 1.6, "cpu_cu_1": 1.75}
    request = PlanRequest(promotion_id=promotion_id, target={"cpu_du_1": 1.6, "cpu_cu_1": 1.75}, mode=Mode.PROMOTION)
    changes = tuple(Change(control=c, before=before[c], after=after[c], unit="core") for c in request.target)
    return Plan(request=request, before=before, after=after, changes=changes, digest="ab" * 32, reasons=reasons,
                drift=0.62, expires_in_s=280.0, notes=("blast radius: 1 gNB of 2",))  # fmt: skip


def made_promotion(**changed: object) -> Promotion:
    """Return a promotion that is being watched, two of five windows in."""
    promotion = Promotion(
        promotion_id="p-7f3a", plan=made_plan(), state=State.WATCHING,
        who=Identity(name="uid 1000", role=Role.OPERATOR, proof="peer credentials"), version=6,
        created_wall_s=1_795_299_900.0, windows_needed=5, lease_remaining_s=9.0, deadline_remaining_s=512.0,
        windows=(WatchedWindow(sequence=1240, robustness_low=float("-inf"), robustness_high=0.213),
                 WatchedWindow(sequence=1241, robustness_low=float("-inf"), robustness_high=0.188, missing=("bsr_2",))),
    )  # fmt: skip
    return replace(promotion, **changed)  # type: ignore[arg-type]


def made_promotions() -> PromotionView:
    """Return a queue of three steps, one promotion in flight, two before it, and their journal."""
    steps = tuple(
        StepView(number=k, count=3, changes=(("cpu_du_1", 2.4 - 0.4 * k, 2.0 - 0.4 * k, "core"),
                                             ("cpu_cu_1", 2.25 - 0.25 * k, 2.0 - 0.25 * k, "core")),
                 bound=0.962 - 0.01 * k, passes=298 - k, horizons=300, expires_wall_s=1_795_386_400.0,
                 state={1: "done", 2: "next"}.get(k, "later"))
        for k in (1, 2, 3)
    )  # fmt: skip
    refusing = (
        Reason(code=ReasonCode.TRIAL_IN_FLIGHT, text="promotion p-7f3a is in flight (watching)"),
        Reason(code=ReasonCode.STEP_TOO_LARGE, text="cpu_du_1 would move by 0.600 core, at most 0.400 core at once"),
    )
    before = (
        made_promotion(promotion_id="p-6a01", state=State.ROLLED_BACK, verdict=Verdict.FAIL, robustness=-0.041,
                       cause=Cause.SPECIFICATION_FAILED, cause_text="φ failed at window 3: robustness -0.041"),
        made_promotion(promotion_id="p-5c22", state=State.CONFIRMED, verdict=Verdict.PASS, robustness=0.204),
    )  # fmt: skip
    journal = tuple(
        JournalEntry(number=k, wall_s=1_795_299_000.0 + 9 * k, monotonic_s=100.0 + 9 * k, promotion_id="p-7f3a",
                     who="uid 1000", actor=actor, kind=kind, state_before=a, state_after=b,
                     details={"window": k} if kind == "window" else {})
        for k, (actor, kind, a, b) in enumerate(
            [("operator", "plan", "", "planned"), ("agent", "gate passed", "planned", "gated"),
             ("operator", "apply", "gated", "applying"), ("testbed", "applied", "applying", "watching"),
             ("watchdog", "window", "watching", "watching"), ("watchdog", "window", "watching", "watching")] * 5, 1)
    )  # fmt: skip
    return PromotionView(
        steps=steps, plan=made_plan(reasons=refusing), active=made_promotion(), received_s=998.0, promotions=before,
        journal=journal, journal_total=30, keeps_lease=True,
    )  # fmt: skip
