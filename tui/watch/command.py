"""`rantwin watch`: the screen. Textual is imported here and nowhere outside of this package."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from col.errors import InputError, UnreachableError
from tui.agent_link import address_of, credentials_for
from tui.config_dir import operator_config_dir
from tui.console import EXIT_DONE
from tui.run_folder import find_run

if TYPE_CHECKING:
    from bridge.client import TestbedClient
    from tui.watch.app import WatchApp

__all__ = ["WEB_PORT", "make_app", "watch_command"]

WEB_PORT = 8010

LOOK_S = 3.0
"""After so many seconds without an answer an agent that is only watched is called lost; what is asked of it by the
operator may take as long as `--timeout`."""


def watch_command(args: argparse.Namespace) -> int:
    """Open the screen until it is left."""
    try:
        import textual  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError("the screen needs Textual: pip install textual==8.2.8") from error
    if args.web or args.port is not None:
        return _serve_web(args)
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise InputError("the screen needs a terminal; 'rantwin status' and 'rantwin history' print instead")
    app = make_app(args)
    app.run()
    return EXIT_DONE if app.return_code is None else app.return_code


def _serve_web(args: argparse.Namespace) -> int:
    """Serve the screen to browsers until it is stopped."""
    if not args.web:
        raise InputError("is for --web", key="--port")
    if args.operate:
        raise InputError("the screen in a browser is always read-only: leave out --operate", key="--web")
    make_app(args, web=True)  # what is wrong with the arguments is said here, not in each browser
    try:
        from tui.watch.web_server import serve_web
    except ModuleNotFoundError as error:
        raise InputError("the screen in a browser needs textual-serve: pip install 'rantwin[web]'") from error
    from tui.watch.web_session import session_words

    serve_web(session_words(args), WEB_PORT if args.port is None else args.port)
    return EXIT_DONE


def make_app(args: argparse.Namespace, *, web: bool = False) -> WatchApp:
    """Return the app for these arguments; nothing is connected before it runs. `web`: for a browser, which only looks.

    Raises:
        InputError: a run that is not there, an address that is none, a keymap that names no key.
    """
    from tui.watch.app import WatchApp
    from tui.watch.feeds import Feeds
    from tui.watch.feeds_operate import Operator
    from tui.watch.feeds_process import AgentStarter, RehearsalRunner
    from tui.watch.feeds_testbed import NO_TESTBED, TestbedFeed
    from tui.watch.keymap import read_settings

    config = operator_config_dir()
    settings = read_settings(config.path / "watch.toml")
    named = args.testbed
    if named is not None:
        address_of(named, config)
    run = find_run(args.runs_dir, args.run_folder) if args.run_folder else None

    def open_client(timeout_s: float = args.timeout) -> TestbedClient:
        from bridge.client import TestbedClient

        if named is None and not config.agent_config.is_file():
            raise UnreachableError(NO_TESTBED)
        address = address_of(named, config)
        credentials = credentials_for(address, config, token_file=args.token_file, tls=args.tls)
        return TestbedClient(address, credentials, timeout_s=timeout_s, connect_s=2.0, patience_s=2.0)

    def open_watching() -> TestbedClient:
        return open_client(min(args.timeout, LOOK_S))

    options: dict[str, Any] = {
        "folder": Path.cwd(),
        "runs_dir": args.runs_dir,
        "scenario": args.scenario,
        "keymap": settings.keys,
        "theme": os.environ.get("RANTWIN_THEME", settings.theme),
    }
    testbed = TestbedFeed(open_watching, named or "the agent of this machine", ours=_version())
    if web:
        from tui.watch.web_session import LooksOnly, WebWatchApp

        looking = Feeds(run=run, runs_dir=args.runs_dir, testbed=testbed, operator=LooksOnly(open_client, testbed))
        return WebWatchApp(looking, **options)
    feeds = Feeds(
        run=run,
        runs_dir=args.runs_dir,
        testbed=testbed,
        operator=Operator(open_client, testbed),
        runner=RehearsalRunner(args.runs_dir, config.path / "rehearse.log"),
        starter=AgentStarter(config) if named is None else None,
    )
    return WatchApp(feeds, operate=args.operate, **options)


def _version() -> str:
    try:
        return metadata.version("rantwin")
    except metadata.PackageNotFoundError:
        return ""
