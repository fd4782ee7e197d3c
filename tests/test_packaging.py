"""The wheel is whole: what is installed from it, in an environment of its own, rehearses from an empty directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("bridge", "col", "protos", "tui", "twin")
QUICK = ("--passive-windows", "120", "--max-trials", "3", "--seed", "5", "--quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An environment that has the wheel, and an empty directory to work in."""

    scripts: Path
    library: Path
    empty: Path

    def run(self, script: str, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.scripts / script, *arguments],
            cwd=self.empty,
            env={**clean, "RANTWIN_CONFIG_DIR": str(self.scripts.parent / "config")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy: a build leaves folders behind that the next one would pick up.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("rantwin-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    library = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # What rantwin depends on is installed already: a path file makes it visible, without the working copy, since path
    # files of a folder that was added by one are not read.
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # Neither screen nor wire nor containers here, even where the developer has them.
    (library / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'docker', 'grpc', 'textual'}:\n"
        "            raise ModuleNotFoundError(f'{name} is not installed', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    return Installed(scripts=home / "bin", library=library, empty=tmp_path_factory.mktemp("empty"))


def test_wheel_has_every_module_scenario_and_data_file_and_nothing_else_of_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".nbi", ".nbc"}
    }
    assert packed == ours


def test_wheel_says_licence_python_and_command_and_asks_users_for_no_test_tools(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        about = Parser().parsestr(archive.read(texts["METADATA"]).decode())
        commands = archive.read(texts["entry_points.txt"]).decode()
    assert about["License-Expression"] == "Apache-2.0"
    assert "licenses/LICENSE" in texts
    assert about["Requires-Python"] == ">=3.11"
    assert "rantwin = tui.cli:main" in commands
    required = [text for text in about.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert required
    assert not [text for text in required if text.startswith(("pytest", "mypy", "ruff", "hypothesis"))]


def test_everything_that_make_installs_is_pinned_to_a_version_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(name): version for name, version in (s.split("==") for s in lines if s[:1] not in "#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    waiting = [Requirement(text) for text in project["dependencies"] + extras["dev"]]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == project["name"]:
            waiting += [Requirement(text) for extra in requirement.extras for text in extras[extra]]
            continue
        assert name in pins, f"{name} is not pinned"
        assert requirement.specifier.contains(pins[name], prereleases=True), (
            f"{name}=={pins[name]} is not {requirement}"
        )
        if name not in seen:
            seen.add(name)
            further = [Requirement(text) for text in metadata.requires(name) or []]
            waiting += [r for r in further if r.marker is None or r.marker.evaluate({"extra": ""})]


@pytest.mark.slow
def test_what_the_wheel_installs_rehearses_from_an_empty_directory(installed: Installed) -> None:
    where = installed.run("python", "-c", "import col, tui, twin; print(col.__file__, tui.__file__, twin.__file__)")
    assert where.stdout.count(str(installed.library)) == 3, where.stdout + where.stderr
    assert "is not installed" in installed.run("python", "-c", "import textual").stderr

    done = installed.run("rantwin", "rehearse", "--json", *QUICK)

    # Half an hour of windows may be too little to show anything safe (exit code 1): a verdict is enough here.
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["verdict"]
    assert summary["windows_passive"] == 120
    (run,) = (installed.empty / "runs").iterdir()
    assert sorted(path.name for path in installed.empty.iterdir()) == ["runs"]
    assert json.loads((run / "summary.json").read_text())["seed"] == summary["seed"] == 5
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!")
    for name in ("scenario.toml", "windows.parquet", "interventions.jsonl", "region.npz"):
        assert (run / name).stat().st_size > 0, name


def test_bad_input_to_the_installed_command_is_one_line_and_leaves_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    done = installed.run("rantwin", "rehearse", str(tmp_path / "absent.toml"))

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "absent.toml" in done.stderr
    assert not (installed.empty / "runs" / "absent").exists()
