"""What may be imported where, and what starting up must not cost."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARROWS = {  # who may import whom of ours
    "col": {"col"},
    "protos": {"protos"},
    "bridge": {"bridge", "col", "protos"},
    "twin": {"col", "twin"},
    "tui": {"bridge", "col", "tui", "twin"},
}
GOOGLE = ("protobuf", "googleapis-common-protos")  # what we import of the namespace that they share
HOMES = {  # third-party packages that have a home, and where it is
    "google": {"bridge", "protos"},
    "cryptography": {"bridge", "col", "tui"},
    "grpc": {"bridge", "protos"},
    "grpc_health": {"bridge"},
    "grpc_reflection": {"bridge"},
    "grpc_status": {"bridge"},
    "grpc_tools": {"protos"},
    "matplotlib": {"tui"},
    "numba": {"twin"},
    "pgmpy": {"col"},
    "prometheus_client": {"bridge"},
    "rich": {"tui"},
    "simpy": {"twin"},
    "sklearn": {"col"},
    "textual": {"tui"},
}
HEAVY = {"grpc", "matplotlib", "numba", "pandas", "pgmpy", "scipy", "sklearn", "statsmodels", "textual", "torch"}


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """Yield (file, top-level name imported) for every import in a package, those inside functions too."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import():
                    names = [alias.name for alias in node.names]
                case ast.ImportFrom(level=0, module=str(module)):
                    names = [module]
                case ast.ImportFrom():
                    names = [package]
                case _:
                    names = []
            yield from ((path.relative_to(ROOT), name.partition(".")[0]) for name in names)


def run_python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ARROWS)
def test_imports_between_our_packages_run_one_way(package: str) -> None:
    ours = [(path, name) for path, name in imports(package) if name in ARROWS]
    assert [f"{path} imports {name}" for path, name in ours if name not in ARROWS[package]] == []


@pytest.mark.parametrize("package", ARROWS)
def test_third_party_packages_are_imported_only_where_they_belong(package: str) -> None:
    strays = [f"{path} imports {name}" for path, name in imports(package) if package not in HOMES.get(name, {package})]
    assert strays == []


def test_dependencies_that_are_declared_are_those_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {distribution_name(requirement) for requirement in project["dependencies"]}
    extras = {distribution_name(text) for texts in project["optional-dependencies"].values() for text in texts}
    distributions = metadata.packages_distributions()
    imported = {
        name
        for package in ARROWS
        for _, top in imports(package)
        if top not in ARROWS and top not in sys.stdlib_module_names
        for name in map(distribution_name, GOOGLE if top == "google" else distributions.get(top, [top])[:1])
    }
    assert declared == imported - (extras - declared)


def distribution_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("_", "-")


def test_help_comes_without_loading_anything_heavy() -> None:
    done = run_python("""
        import contextlib, io, json, sys
        from tui.cli import main
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
            main(["--help"])
        print(json.dumps({"said": said.getvalue(), "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
    """)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "rehearse" in seen["said"]
    assert HEAVY & set(seen["loaded"]) == set()


def test_the_learner_and_the_twin_import_where_screen_wire_and_containers_are_not_installed() -> None:
    done = run_python("""
        import importlib, pkgutil, sys
        absent = {"docker", "google", "grpc", "rich", "textual", "tui", "bridge", "protos"}
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in absent:
                    raise ModuleNotFoundError(f"{name} is not installed", name=name)
        sys.meta_path.insert(0, Absent())
        import col
        for module in pkgutil.walk_packages(col.__path__, "col."):
            importlib.import_module(module.name)
        assert "twin" not in sys.modules, "the learner knows no twin"
        import twin
        for module in pkgutil.walk_packages(twin.__path__, "twin."):
            importlib.import_module(module.name)
    """)
    assert done.returncode == 0, done.stderr


def test_the_learner_loads_pgmpy_only_when_it_is_asked_for() -> None:
    done = run_python("""
        import importlib, pkgutil, sys
        import col
        for module in pkgutil.walk_packages(col.__path__, "col."):
            importlib.import_module(module.name)
        assert "pgmpy" not in sys.modules, "a module of col imports pgmpy at its top"
    """)
    assert done.returncode == 0, done.stderr
