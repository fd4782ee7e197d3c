"""The contract's files: generated code, style, and enums that agree with ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.convert import (
    ENUM_TABLES,
)
from protos import generate

PROTO = (generate.ROOT / generate.PROTO).read_text(encoding="utf-8")


def test_the_generated_code_is_what_the_compiler_makes_of_the_proto_file(tmp_path: Path) -> None:
    for file in generate.generate(tmp_path):
        committed = generate.ROOT / file.relative_to(tmp_path)
        assert committed.read_text(encoding="utf-8") == file.read_text(encoding="utf-8"), (
            f"{committed} is stale: python -m protos.generate"
        )


def lint(text: str) -> list[str]:
    """Return what the main rules of buf's STANDARD and COMMENTS categories would say."""
    found: list[str] = []
    lines = [line for line in text.splitlines() if line.strip()]
    scopes: list[tuple[str, str]] = []
    rpcs: list[tuple[str, str, str]] = []
    for before, line in zip(["", *lines], lines, strict=False):
        code = line.strip()
        if code.startswith("//"):
            continue
        opened = re.match(r"(message|enum|service|oneof) (\w+) \{", code)
        element = opened or re.match(r"(rpc) (\w+)\(", code) or re.match(r".*?(\w+)\s+(\w+) = \d+;", code)
        if element and not before.strip().startswith("//"):
            found.append(f"no comment: {code}")
        if rpc := re.match(r"rpc (\w+)\((\w+)\) returns \((?:stream )?(\w+)\)", code):
            rpcs.append((rpc[1], rpc[2], rpc[3]))
        kind, scope = scopes[-1] if scopes else ("", "")
        if kind == "enum" and (value := re.match(r"(\w+) = (\d+);", code)):
            prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", scope).upper()
            wanted = f"{prefix}_UNSPECIFIED" if value[2] == "0" else f"{prefix}_"
            if not value[1].startswith(wanted):
                found.append(f"enum value: {code}")
        name = re.match(r".* (\w+) = \d+;", code)
        if name and kind in ("message", "oneof") and name[1] != name[1].lower():
            found.append(f"field name: {code}")
        if opened:
            if opened[1] == "service" and not opened[2].endswith("Service"):
                found.append(f"service name: {code}")
            if not code.endswith("}"):
                scopes.append((opened[1], opened[2]))
        elif code.startswith("}"):
            scopes.pop()
    found += [f"names of {r}" for r, asked, said in rpcs if (asked, said) != (f"{r}Request", f"{r}Response")]
    return found


def test_the_proto_file_keeps_the_rules_of_its_style() -> None:
    assert lint(PROTO) == []
    assert re.search(r"^package rantwin\.testbed\.v1;$", PROTO, re.M)
    assert generate.PROTO.removeprefix("protos/").rpartition("/")[0] == "rantwin.testbed.v1".replace(".", "/")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("  // Its name, unique in the testbed.\n", ""),
        ("ROLE_UNSPECIFIED = 0", "ROLE_NONE = 0"),
        ("service TestbedService", "service Testbed"),
        ("rpc GetStatus(GetStatusRequest)", "rpc GetStatus(Empty)"),
        ("double lower = 3", "double Lower = 3"),
    ],
)
def test_the_check_of_the_style_finds_what_breaks_it(right: str, wrong: str) -> None:
    assert right in PROTO
    assert lint(PROTO.replace(right, wrong)) != []


def test_our_enums_and_those_of_the_wire_have_the_same_members() -> None:
    for table in ENUM_TABLES:
        assert table.unmatched == set()
