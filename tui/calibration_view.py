"""A stored calibration as panels: what was measured over the twin's curve (see `figures/calibration.py`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

__all__ = ["REPETITION", "calibration_view", "packaged_calibration"]

REPETITION = "one repetition of the next"
"""The group of errors that no model can beat: a recorded setting as predictor of its own repetition."""

_FULL_PRB = 25
_PLENTY_CORES = 1.5
_Y = {
    "dl_mbps": ("DL throughput", "Mbit/s"),
    "ul_mbps": ("UL throughput", "Mbit/s"),
    "cpu_cores": ("CPU used", "core"),
    "throttled_share": ("throttled", "s/s"),
    "nok_ratio_dl": ("DL HARQ failures", "ratio"),
}

Setting = Mapping[str, Any]


def packaged_calibration(name: str) -> dict[str, Any]:
    """Return the document of a calibration that comes with the twin, empty where there is none of that name."""
    path = resources.files("twin").joinpath("data").joinpath(f"{name}.json")
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def calibration_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report shows of a calibration: panels, errors on settings left out, parameters."""
    settings: Sequence[Setting] = document.get("settings", ())
    full = [s for s in settings if _is_full(s) and s["n_ue"] == 1]
    plenty = [s for s in settings if s["quota_cores"] >= _PLENTY_CORES and s["n_ue"] == 1]
    capped = [s for s in settings if not _is_full(s) and s["quota_cores"] < _PLENTY_CORES and s["n_ue"] == 1]
    panels = [
        _panel(f"Full load: {_Y[metric][0]}", metric, full, "quota_cores", "CPU quota", "core")
        for metric in ("dl_mbps", "ul_mbps", "cpu_cores", "throttled_share", "nok_ratio_dl")
    ]
    panels.append(_by_cap("Partial load, CPU to spare", "cpu_cores", plenty))
    for metric in ("dl_mbps", "throttled_share"):
        title = f"Partial load under quota: {_Y[metric][0]}"
        panels.append(_panel(title, metric, _commonest_cap(capped), "quota_cores", "CPU quota", "core"))
    return {
        "id": document.get("calibration_id", ""),
        "source": f"recordings of {document.get('stack', 'a real gNB')}",
        "caption": "Crosses: the twin where one direction was active alone. All of it with full buffers: how a flow of "
        "constant bit rate meets the knee was not measured and is a prediction.",
        "panels": [panel for panel in panels if panel["measured"]],
        "errors": _errors(document.get("errors", {})),
        "parameters": [{"name": f"du.{k}", "value": v} for k, v in document.get("du", {}).items()]
        + [{"name": f"cell.{k}", "value": v} for k, v in document.get("cell", {}).items()],
        "notes": list(document.get("notes", ())),
    }


def _is_full(s: Setting) -> bool:
    return bool(s["cap_prb_dl"] >= _FULL_PRB and s["cap_prb_ul"] >= _FULL_PRB)


def _panel(title: str, metric: str, settings: Sequence[Setting], x: str, x_label: str, x_unit: str) -> dict[str, Any]:
    label, unit = _Y[metric]
    return {
        "title": title,
        "x_label": x_label,
        "x_unit": x_unit,
        "y_label": label,
        "y_unit": unit,
        "measured": [_point(s, metric, lambda s: float(s[x])) for s in settings],
        "curves": [_curve("twin", settings, metric, lambda s: float(s[x]))],
    }


def _by_cap(title: str, metric: str, settings: Sequence[Setting]) -> dict[str, Any]:
    """Return a panel over the PRB cap: both directions together, and each alone where it was recorded."""
    kinds: tuple[tuple[str, Callable[[Setting], bool]], ...] = (
        ("both directions", lambda s: s["cap_prb_dl"] == s["cap_prb_ul"]),
        ("downlink alone", lambda s: s["cap_prb_ul"] == 0 and s["cap_prb_dl"] > 0),
        ("uplink alone", lambda s: s["cap_prb_dl"] == 0 and s["cap_prb_ul"] > 0),
    )
    label, unit = _Y[metric]
    return {
        "title": title,
        "x_label": "PRB cap",
        "x_unit": "PRB",
        "y_label": label,
        "y_unit": unit,
        "measured": [_point(s, metric, _cap) for s in settings],
        "curves": [_curve(name, [s for s in settings if belongs(s)], metric, _cap) for name, belongs in kinds],
    }


def _cap(s: Setting) -> float:
    return float(max(s["cap_prb_dl"], s["cap_prb_ul"]))


def _commonest_cap(settings: Sequence[Setting]) -> list[Setting]:
    caps = [(s["cap_prb_dl"], s["cap_prb_ul"]) for s in settings]
    if not caps:
        return []
    best = max(sorted(set(caps)), key=caps.count)
    return [s for s, cap in zip(settings, caps, strict=True) if cap == best]


def _point(s: Setting, metric: str, x: Callable[[Setting], float]) -> dict[str, Any]:
    return {"x": x(s), "y": s["measured"][metric], "label": s["name"]}


def _curve(label: str, settings: Sequence[Setting], metric: str, x: Callable[[Setting], float]) -> dict[str, Any]:
    by_x = {x(s): s["fitted"][metric] for s in settings}
    return {"label": label, "x": sorted(by_x), "y": [by_x[at] for at in sorted(by_x)]}


def _errors(groups: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return one row for each group of settings and metric: error, trivial predictor's, one repetition of the next."""
    floor = groups.get(REPETITION, {})
    rows = []
    for group, values in groups.items():
        for metric, name in (("throughput", "throughput"), ("cpu", "CPU use"), ("throttled", "throttled share")):
            key = f"{metric}_nrmse"
            if group != REPETITION and key in values:
                rows.append(
                    {
                        "metric": name,
                        "setting": group,
                        "kind": f"{int(values['settings'])} settings" if "settings" in values else "",
                        "nrmse": values[key],
                        "trivial": values.get(f"trivial_{key}"),
                        "repetition": floor.get(key),
                    }
                )
    return rows
