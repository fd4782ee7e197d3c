"""A testbed of plain processes, one control group (v2) each: `du_1` and `cu_1` of one gNB in one folder. An example."""

from collections.abc import Mapping
from pathlib import Path

from bridge.backends.base import BackendDescription, Reading
from bridge.backends.recorder import Recorder, Row, TestbedClock
from bridge.clock import SystemClock
from col.errors import InputError, OutcomeUnknownError, RefusedError, UnreachableError
from col.plant import Control, Metric, PlantDescription, Windows

PERIOD_US, UNITS = 100_000, ("du_1", "cu_1")


def make_backend(config: Mapping[str, object], call_timeout_s: float) -> "CgroupBackend":
    """Return the backend of `[backend] name = "cgroup"`, keys `folder` and `window_s`; rantwin bounds its calls."""
    if not isinstance(folder := config.get("folder"), str):
        raise InputError("must be the folder of the control groups", key="backend.folder", value=folder)
    return CgroupBackend(Path(folder), float(str(config.get("window_s", 15.0))))


class CgroupBackend:
    """`cpu.max` is the control of a process, what `cpu.stat` counts its metric."""

    def __init__(self, folder: Path, window_s: float) -> None:
        self._folder, self._window_s, self._now = folder, window_s, TestbedClock(SystemClock())
        self._controls = {
            f"cpu_{unit}": Control(
                name=f"cpu_{unit}", unit="core", lower=0.1, upper=4.0, resolution=0.01, reference=2.0
            )
            for unit in UNITS
        }
        self._metrics = {f"cpuu_{unit}": Metric(name=f"cpuu_{unit}", unit="core") for unit in UNITS}
        columns = (tuple(self._controls), tuple(self._metrics))
        self._recorder = Recorder(window_s, self._now, self._look, self._row, columns, {})
        self._recorder.start()

    def describe(self) -> BackendDescription:
        """Return what the testbed is."""
        controls, metrics = tuple(self._controls.values()), tuple(self._metrics.values())
        plant = PlantDescription(
            plant_id="bench",
            controls=controls,
            metrics=metrics,
            window_s=self._window_s,
            wall_window_s=self._window_s,
        )
        gnbs, alive = {"1": tuple(self._controls)}, {"1": ("cpuu_du_1",)}
        return BackendDescription(plant=plant, stack="mine-1.0", radio_mode="rt", gnbs=gnbs, gnb_metrics=alive)

    def read(self) -> Reading:
        """Return what is in force: from the kernel, not from memory."""
        at_s, controls = self._now(), self._limits()
        return Reading(controls=controls, at_s=at_s, next_sequence=self._recorder.next_sequence(at_s))

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        """Set all of it or nothing."""
        if reasons := tuple(f"{n} = {v}: cannot be set" for n, v in values.items() if not self._is_settable(n, v)):
            raise RefusedError(reasons)
        self._limits()  # whoever is not there is missed before anything is touched
        self._recorder.interrupt()  # the window in progress is neither before nor after
        try:
            for name, value in values.items():
                quota = round(self._controls[name].snap(value) * PERIOD_US)
                self._file(name[4:], "cpu.max").write_text(f"{quota} {PERIOD_US}")
        except (OSError, UnreachableError) as error:
            raise OutcomeUnknownError(f"perhaps set in part: {error}") from error
        finally:
            at_s = self._now()
            first = self._recorder.resume(at_s + settle_s)
        return Reading(controls=self._limits(), at_s=at_s, next_sequence=first)

    def set_automation(self, enabled: bool) -> None:
        """Refuse: nothing here moves limits by itself."""
        if enabled:
            raise RefusedError(("nothing here moves limits by itself",))

    def windows(self, since: int, limit: int) -> Windows:
        """Return closed windows."""
        return self._recorder.windows(since, limit)

    def close(self) -> None:
        """Stop recording; limits stay."""
        self._recorder.close()

    def _is_settable(self, name: str, value: float) -> bool:
        control = self._controls.get(name)
        return control is not None and control.lower <= value <= control.upper  # NaN is neither

    def _limits(self) -> dict[str, float]:
        found = {f"cpu_{unit}": self._file(unit, "cpu.max").read_text().split() for unit in UNITS}
        return {n: self._controls[n].upper if q == "max" else int(q) / int(period) for n, (q, period) in found.items()}

    def _look(self) -> dict[str, float] | None:  # at every boundary of a window; None: could not be looked at
        try:
            used = {f"cpuu_{u}": float(self._file(u, "cpu.stat").read_text().split()[1]) for u in UNITS}
            return {**used, **self._limits()}
        except (UnreachableError, ValueError, IndexError):
            return None

    def _row(
        self, before: dict[str, float] | None, after: dict[str, float] | None, start_s: float, end_s: float
    ) -> Row:
        if before is None or after is None:
            return Row(run=0, controls={}, metrics={})  # missing, never a guess
        grown = {name: after[name] - before[name] for name in self._metrics}  # less than before: another process
        used = {name: usec / 1e6 / (end_s - start_s) for name, usec in grown.items() if usec >= 0}
        steady = {name: after[name] for name in self._controls if after[name] == before[name]}
        return Row(run=0, controls=steady, metrics=used)  # what is absent is missing: somebody changed it in between

    def _file(self, unit: str, name: str) -> Path:
        if not (path := self._folder / unit / name).exists():
            raise UnreachableError(f"{path} is not there: does {unit} run?")
        return path
