"""The lab's image, made of files of this machine: its Python (what the worker imports, no more) and its iperf3.

No registry is asked and nothing is downloaded. The tag is a digest of what is inside, so an image is built again only
when something in it changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from col.errors import InputError, PlantError

__all__ = ["REPOSITORY", "WORKER_IN_IMAGE", "build_image", "find_iperf3", "image_files", "iperf3_version"]

REPOSITORY = "rantwin-lab"
WORKER_IN_IMAGE = "/rantwin"
"""The folder in the image above the package `worker`."""
_WORKER = Path(__file__).parent / "worker"
_TOO_LARGE_BYTES = 200_000_000

_ASK = """
import sys, json
sys.path.insert(0, sys.argv[1])
import worker.__main__, encodings.idna, encodings.ascii, encodings.latin_1
print(json.dumps([getattr(m, "__file__", None) for m in list(sys.modules.values())]))
"""


def find_iperf3() -> Path:
    """Return this machine's iperf3; InputError says how to install it."""
    found = shutil.which("iperf3")
    if found is None:
        raise InputError("not installed; the lab's traffic comes from it: apt install iperf3", source="iperf3")
    return Path(found).resolve()


def iperf3_version(program: Path) -> str:
    """Return its version, such as 3.12; empty where it does not say."""
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=20.0, check=False)
    found = re.search(r"iperf (\d+(?:\.\d+)+)", done.stdout)
    return found.group(1) if found else ""


def image_files() -> dict[str, Path]:
    """Return what is in the image: path in it and file here, besides the worker's own.

    Raises:
        InputError: iperf3 is missing. PlantError: this Python or its libraries cannot be found out.
    """
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    modules = _modules(python)
    iperf3 = find_iperf3()
    programs = [python, iperf3, *(m for m in modules if ".so" in m.suffixes or m.suffix == ".so")]
    files = {str(python): python, "/usr/bin/iperf3": iperf3}
    files |= {str(path): path for path in modules}
    files |= {name: Path(name) for name in _libraries(programs)}
    return dict(sorted(files.items()))


def _modules(python: Path) -> list[Path]:
    """Return the files of the standard library that the worker imports, found out by importing it."""
    done = subprocess.run(
        [str(python), "-I", "-S", "-B", "-c", _ASK, str(_WORKER.parent)],
        capture_output=True, text=True, timeout=60.0, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PlantError(f"{python} cannot import the lab's worker: {done.stderr.strip().splitlines()[-1:]}")
    paths = {Path(name) for name in json.loads(done.stdout) if name}
    files = {path for path in paths if path.is_file() and not path.is_relative_to(_WORKER)}
    if not files:
        raise PlantError(f"{python} has no standard library in files")
    # Where Python looks for its library, it looks for these two first.
    library = next(path.parent for path in files if path.name == "os.py" or path.parent.name.startswith("python3"))
    files.add(library / "os.py")
    return sorted(path for path in files if path.is_file())


def _libraries(programs: Iterable[Path]) -> set[str]:
    """Return the shared libraries that these need, the loader among them, by the path at which they are looked for."""
    found: set[str] = set()
    for program in programs:
        done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=20.0, check=False)
        for line in done.stdout.splitlines():
            match = re.search(r"(?:=>\s*)?(/\S+)\s+\(0x", line)
            if match:
                found.add(match.group(1))
            elif "not found" in line:
                raise PlantError(f"{program} lacks a library: {line.strip()}")
    return found


def _worker_files() -> dict[str, Path]:
    return {f"{WORKER_IN_IMAGE}/worker/{path.name}": path for path in sorted(_WORKER.glob("*.py"))}


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build_image(client: Any) -> tuple[str, bool]:
    """Return the image's name, and whether it had to be made; `client` is one of the `docker` package.

    Raises:
        InputError, PlantError: see `image_files`; or the engine does not take it.
    """
    files = {**image_files(), **_worker_files()}
    tag = _digest(files)
    name = f"{REPOSITORY}:{tag}"
    if any(name in (image.tags or ()) for image in client.images.list(name=REPOSITORY)):
        return name, False
    if sum(path.stat().st_size for path in files.values()) > _TOO_LARGE_BYTES:
        raise PlantError("the files for the image are larger than they can sensibly be")
    client.api.import_image_from_data(
        _tar(files), repository=REPOSITORY, tag=tag, changes=[f"ENV PYTHONPATH={WORKER_IN_IMAGE}", "ENV PATH=/usr/bin"]
    )
    if not any(name in (image.tags or ()) for image in client.images.list(name=REPOSITORY)):
        raise PlantError("the engine did not keep the lab's image")
    return name, True


def _tar(files: Mapping[str, Path]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "/"}
        for folder in sorted(folders | {"/tmp", "/lab", "/etc", "/proc", "/sys", "/dev"}):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755
            archive.addfile(entry)
        for name, path in files.items():
            data = path.read_bytes()
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size = len(data)
            entry.mode = 0o755 if os.access(path, os.X_OK) else stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
            archive.addfile(entry, io.BytesIO(data))
    return sink.getvalue()
