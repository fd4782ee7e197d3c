"""Generate the Python code of the wire contract: `python -m protos.generate [FOLDER]` from the repository's root.

The code is committed, so that nobody needs a compiler to use it; a test generates it again and compares.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

__all__ = ["PROTO", "ROOT", "generate"]

HEADER = "# ruff: noqa\n# fmt: off\n# mypy: ignore-errors\n"
ROOT = Path(__file__).resolve().parent.parent
PROTO = "protos/rantwin/testbed/v1/testbed_service.proto"


def generate(folder: Path) -> list[Path]:
    """Write the generated code below `folder` and return its files; RuntimeError if the compiler refuses."""
    from grpc_tools import protoc

    well_known = resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{ROOT}", f"-I{well_known}"]
    arguments += [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *arguments, str(ROOT / PROTO)]) != 0:
        raise RuntimeError(f"{PROTO} does not compile")
    stem = PROTO.removesuffix(".proto")
    files = [folder / f"{stem}{end}" for end in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")]
    for file in files:
        file.write_text(HEADER + file.read_text(encoding="utf-8"), encoding="utf-8")
    return files


if __name__ == "__main__":
    for file in generate(Path(sys.argv[1]) if sys.argv[1:] else ROOT):
        print(file)
