"""What a command says and how it ends: results on stdout, everything else on stderr, one line for an error.

Exit codes: 0 done, 1 refused, unsafe or failed, 2 bad input, 3 unreachable, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from col.errors import InputError, RantwinError

__all__ = [
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_INPUT",
    "EXIT_INTERRUPTED",
    "guarded",
    "one_line",
    "plain_json",
    "print_json",
]

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130


def one_line(text: str) -> str:
    """Return the text on one line, so that a message can be grepped and a log keeps its shape."""
    return " ".join(text.split())


def plain_json(value: Any) -> Any:
    """Return the value with numpy scalars and arrays as plain ones and NaN or infinity as None, as JSON wants it."""
    if isinstance(value, Mapping):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(v) for v in value]
    if hasattr(value, "tolist"):
        return plain_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def print_json(value: Any, stream: TextIO | None = None) -> None:
    """Print one JSON document, by default on stdout."""
    print(json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False), file=stream or sys.stdout)


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; an error that was raised on purpose becomes one line on stderr.

    Set `RANTWIN_DEBUG` to see the whole traceback instead.
    """
    try:
        return command()
    except KeyboardInterrupt:
        _complain("stopped")
        return EXIT_INTERRUPTED
    except RantwinError as error:
        if os.environ.get("RANTWIN_DEBUG"):
            raise
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe has gone (`rantwin ... | head`): not worth a word, but Python would say one at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        if os.environ.get("RANTWIN_DEBUG"):
            raise
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
        return InputError.exit_code if isinstance(error, FileNotFoundError) else EXIT_FAILED


def _complain(text: str) -> None:
    print(f"rantwin: {one_line(text)}", file=sys.stderr)
