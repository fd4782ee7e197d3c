"""Drives the app of a made-up world through Textual's Pilot."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from textual.pilot import Pilot
from textual.widgets import Static

from tests.tui.watch_world import WatchWorld
from tui.watch.app import WatchApp

Steps = Callable[[WatchApp, Pilot], Awaitable[None]]


def drive(
    world: WatchWorld, steps: Steps, *, size: tuple[int, int] = (100, 30), notifications: bool = False, **changes
) -> WatchApp:
    """Run the app of a world through some steps and return it."""
    app = world.app(**changes)

    async def run() -> None:
        async with app.run_test(size=size, notifications=notifications) as pilot:
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(run())
    return app


def strip_of(app: WatchApp) -> str:
    return str(app.query_one("#strip", Static).render())


def picture(app: WatchApp) -> str:
    """Return what is on the screen as text."""
    height = app.size.height
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines[:height])


async def refreshed(world: WatchWorld, app: WatchApp, pilot: Pilot) -> None:
    world.look()
    app.refresh_state()
    await pilot.pause()


async def settled(pilot: Pilot, app: WatchApp) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()
    app.refresh_state()
    await pilot.pause()


async def until(pilot: Pilot, happened: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Wait for something that Textual does in its own time."""
    until_s = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < until_s, "did not happen"
        await pilot.pause(0.02)


def notices(world: WatchWorld) -> str:
    return " | ".join(notice.text for notice in world.feeds._notices)


def wait_until(happened, patience_s: float = 60.0) -> None:
    until = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)
