"""Space for the journal: a cap on its size, and a reserve that only a rollback may use once the disk is full.

The reserve is a file of its own beside the journal (space on the disk) together with pages below the cap (space in the
database). While it is not whole, new plans are refused; it is made whole again as soon as there is room.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

__all__ = ["Space"]

_LEAST_FREE_BYTES = 1024 * 1024


class Space:
    """The space of one journal database, in bytes."""

    def __init__(self, connection: sqlite3.Connection, reserve: Path, *, max_bytes: int, reserve_bytes: int) -> None:
        self._connection, self._reserve, self._reserve_bytes = connection, reserve, reserve_bytes
        page = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self._hard_pages = max(1, max_bytes // page)
        self._soft_pages = max(1, (max_bytes - reserve_bytes) // page)
        self._is_open = False
        self._cap(self._soft_pages)
        self.close_reserve()

    def close_reserve(self) -> bool:
        """Make the reserve whole again if there is room for it; return whether it is whole."""
        if self._pages() >= self._soft_pages:
            return False
        try:
            self._allocate()
        except OSError:
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)
            return False
        self._cap(self._soft_pages)
        self._is_open = False
        return True

    @property
    def is_disk_full(self) -> bool:
        """Whether the disk has nothing left beside the reserve, though the files here may have room inside."""
        try:
            disk = os.statvfs(self._reserve.parent)
        except OSError:
            return True
        return disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES

    @property
    def is_getting_full(self) -> bool:
        """Whether three quarters of what the database may grow to are used."""
        return self._pages() >= 3 * self._soft_pages // 4

    def open_reserve(self) -> bool:
        """Give the reserve to the next write; return False if that was done before, so that no more can be gained."""
        if self._is_open:
            return False
        self._is_open = True
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        self._cap(self._hard_pages)
        return True

    def _allocate(self) -> None:
        descriptor = os.open(self._reserve, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Not a sparse file: blocks that are promised only are no reserve.
            os.posix_fallocate(descriptor, 0, self._reserve_bytes)
        finally:
            os.close(descriptor)

    def _pages(self) -> int:
        pages = int(self._connection.execute("PRAGMA page_count").fetchone()[0])
        return pages - int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def _cap(self, pages: int) -> None:
        # SQLite never goes below the pages that are there.
        self._connection.execute(f"PRAGMA max_page_count = {pages}")
