"""Many gNBs from one group: `[template] copies = 10` repeats the hosts, gNBs and pairs of a scenario, and its formula.

The document describes one group. Copy k of it (k = 0, 1, ...) has cells, hosts, CUs and pairs of its own: numbers go on
where the group before ended (hosts h1, h2 become h3, h4; cells 1 to 4 become 5 to 8; a name without a number gets one).
The specification is that of every group at once: `F` of the group becomes `F and F' and F'' ...`. Everything else
(ranges, loads, costs) holds for all alike, and optional tables that name cells mean those of the first group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twin.strict import Section

__all__ = ["expand_template"]

_MOST_COPIES = 2500
_OF_HOSTS = frozenset({"pow", "cpuu_nn", "nn", "hst", "run_nn", "drift"})
"""Variables that belong to a host."""
_TRAILING_NUMBER = re.compile(r"(.*?)(\d+)")
_NAME = re.compile(r"\b([a-z][a-z_]*)_([A-Za-z0-9]+)\b")


def expand_template(document: Section) -> Section:
    """Return the document with the copies written out; one without [template] as it is."""
    if "template" not in document:
        return document
    template = document.section("template")
    copies = template.integer("copies", lower=1, upper=_MOST_COPIES)
    template.close()
    raw = document.raw()
    del raw["template"]
    hosts, gnbs, pairs = (raw.get(key) for key in ("hosts", "gnbs", "pairs"))
    if not isinstance(hosts, dict) or not isinstance(gnbs, dict) or not all(isinstance(g, dict) for g in gnbs.values()):
        return Section(raw, document.source)  # the reader of these tables says what is wrong with them
    if not all(str(cell).isdigit() for cell in gnbs) or (pairs is not None and not isinstance(pairs, dict)):
        return Section(raw, document.source)
    names = _Names(hosts, gnbs, pairs or {})
    raw["hosts"] = {
        names.host(h, k): dict(v) if isinstance(v, dict) else v for k in range(copies) for h, v in hosts.items()
    }
    raw["gnbs"] = {
        names.cell(cell, k): {**gnb, "host": names.host(gnb.get("host"), k), "cu": names.cu(gnb.get("cu"), k)}
        for k in range(copies)
        for cell, gnb in gnbs.items()
    }
    if pairs:
        raw["pairs"] = {names.pair(p, k): names.pair_table(v, k) for k in range(copies) for p, v in pairs.items()}
    specification = raw.get("specification")
    if isinstance(specification, dict) and isinstance(specification.get("text"), str):
        text = " ".join(specification["text"].split())
        raw["specification"] = {
            **specification,
            "text": " and ".join(f"({names.formula(text, k)})" for k in range(copies)),
        }
    return Section(raw, document.source)


class _Names:
    """How the names of the group are called in copy k."""

    def __init__(self, hosts: Mapping[str, Any], gnbs: Mapping[str, Any], pairs: Mapping[str, Any]) -> None:
        self._cells = max(int(cell) for cell in gnbs) if gnbs else 0
        self._hosts, self._pairs = _shifts(hosts), _shifts(pairs)
        self._cus = _shifts([gnb["cu"] for gnb in gnbs.values() if isinstance(gnb.get("cu"), str)])
        self._numbers = frozenset(str(cell) for cell in gnbs)

    def cell(self, cell: Any, k: int) -> str:
        return str(int(cell) + k * self._cells)

    def host(self, host: Any, k: int) -> Any:
        return _shifted(host, self._hosts, k)

    def cu(self, cu: Any, k: int) -> Any:
        return _shifted(cu, self._cus, k)

    def pair(self, pair: Any, k: int) -> str:
        return str(_shifted(pair, self._pairs, k))

    def pair_table(self, table: Any, k: int) -> Any:
        if not isinstance(table, dict) or not isinstance(table.get("cells"), list):
            return table
        whole = [isinstance(cell, int) and not isinstance(cell, bool) for cell in table["cells"]]
        if not all(whole):
            return table
        return {**table, "cells": [cell + k * self._cells for cell in table["cells"]]}

    def formula(self, text: str, k: int) -> str:
        """Return the formula of copy k: every metric of the group by its name there."""

        def renamed(match: re.Match[str]) -> str:
            stem, owner = match.groups()
            if stem.endswith("_cu"):
                return f"{stem}_{self.cu(owner, k)}"
            if stem in _OF_HOSTS:
                return f"{stem}_{self.host(owner, k)}"
            if owner in self._numbers:
                return f"{stem}_{self.cell(owner, k)}"
            return f"{stem}_{self.pair(owner, k)}"

        return _NAME.sub(renamed, text)


def _shifts(names: Any) -> dict[str, int]:
    """Return for every name by how much its number grows from copy to copy; 0: it has none and gets one."""
    numbered = {name: _TRAILING_NUMBER.fullmatch(name) for name in names}
    most: dict[str, int] = {}
    for match in numbered.values():
        if match:
            most[match[1]] = max(most.get(match[1], 0), int(match[2][:9]))
    return {name: most[match[1]] if match else 0 for name, match in numbered.items()}


def _shifted(name: Any, shifts: Mapping[str, int], k: int) -> Any:
    if k == 0 or not isinstance(name, str) or name not in shifts:
        return name
    match = _TRAILING_NUMBER.fullmatch(name)
    if match is None:
        return f"{name}{k + 1}"
    return f"{match[1]}{int(match[2]) + k * shifts[name]}"
