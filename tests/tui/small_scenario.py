"""A scenario of one gNB with short windows: a whole rehearsal in seconds."""

from __future__ import annotations

import tomllib
from pathlib import Path

from twin.scenario import load_scenario
from twin.strict import write_toml

TEXT = "always[0,1](thp_dl_1 >= 0.95 * load_dl_1 and thp_ul_1 >= 0.95 * load_ul_1 and pow_h1 <= 95)"


def small_scenario(folder: Path, name: str = "small") -> Path:
    """Write the scenario and return its path."""
    document = tomllib.loads(load_scenario("cpu-allocation").to_toml())
    document["scenario"]["name"] = name
    document["scenario"]["title"] = "one gNB"
    document["specification"]["text"] = TEXT
    document["hosts"] = {"h1": document["hosts"]["h1"]}
    document["gnbs"] = {"1": document["gnbs"]["1"]}
    document["window"] |= {"length_s": 3.0, "settle_s": 1.0, "warmup_s": 1.0}
    document["passive"] |= {"windows": 80, "run_windows": 20}
    document["load"]["passive"]["correlation_s"] = 12.0
    path = folder / f"{name}.toml"
    path.write_text(write_toml(document), encoding="utf-8")
    return path
