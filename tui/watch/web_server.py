"""`rantwin watch --web`: the screen for browsers of this machine, a process for each page, always read-only.

textual-serve has the page's scripts and the way to speak to a session; the addresses, what they are checked for and
the limits are ours (`tui.watch.web_guard`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from col.errors import InputError
from tui.watch.web_guard import HEADERS, content_policy, new_token, refusal

__all__ = ["MOST_SESSIONS", "WebScreens", "listening", "serve_web"]

MOST_SESSIONS = 8
"""Pages that may be open at once: each is a process."""

_MOST_MESSAGE = 1 << 16
_PATIENCE_S = 5.0
_SIZES = {"width": (20, 400), "height": (8, 200)}
_PARTS = Path(textual_serve.__file__).parent / "static"

_START = f"""
import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from tui.watch.web_session import main
sys.exit(main(sys.argv[1:]))
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>rantwin watch (read-only)</title>
<link rel="stylesheet" href="static/css/xterm.css">
<link rel="stylesheet" href="page.css">
<script src="static/js/textual.js"></script>
<script src="page.js" defer></script>
</head>
<body>
<div id="terminal" class="textual-terminal" data-session-websocket-url="{socket}" data-font-size="{font}"></div>
<p id="ended">The session has ended. Reload the page to begin another.</p>
</body>
</html>
"""
_STYLE = """
@font-face { font-family: "Roboto Mono"; src: url("static/fonts/RobotoMono-VariableFont_wght.ttf");
             font-weight: 100 700; }
@font-face { font-family: "Roboto Mono"; src: url("static/fonts/RobotoMono-Italic-VariableFont_wght.ttf");
             font-weight: 100 700; font-style: italic; }
html, body { margin: 0; background: #101418; color: #e8e8e8; font-family: "Roboto Mono", monospace; }
#ended { display: none; position: fixed; inset: 40% 0 auto 0; text-align: center; background: #1f2830; padding: 1em; }
body.-closed #ended { display: block; }
"""
# Keys work at once, without a click into the page.
_SCRIPT = """
new MutationObserver((_, observer) => {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field) { observer.disconnect(); field.focus(); }
}).observe(document.body, { childList: true, subtree: true });
"""


class _Session(AppService):
    """The process of one page. Its words are a list, no shell reads them."""

    def __init__(self, words: Sequence[str], websocket: web.WebSocketResponse, downloads: DownloadManager, base: str):
        super().__init__(
            "", write_bytes=websocket.send_bytes, write_str=websocket.send_str, close=self._close_page,
            download_manager=downloads,
        )  # fmt: skip
        self._words, self._base, self._websocket = tuple(words), base, websocket

    async def _close_page(self) -> None:
        await self._websocket.close()

    async def _open_app_process(self, width: int = 80, height: int = 24) -> asyncio.subprocess.Process:
        environment = self._build_environment(width=width, height=height)
        environment = {name: value for name, value in environment.items() if name not in ("TEXTUAL", "TEXTUAL_LOG")}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._words, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        self._process, self._stdin = process, process.stdin
        return process

    async def on_meta(self, data: bytes) -> None:
        """Pass on what the session says of itself; the page is sent nowhere but to its own downloads."""
        said = json.loads(data)
        if said["type"] == "open_url":
            return
        if said["type"] != "deliver_file_start":
            await super().on_meta(data)
            return
        key = str(said["key"])
        await self._download_manager.create_download(
            app_service=self, delivery_key=key, file_name=Path(said["path"]).name, open_method="download",
            mime_type="application/octet-stream", encoding="utf-8",
        )  # fmt: skip
        await self.remote_write_str(json.dumps(["open_url", {"url": f"{self._base}download/{key}", "new_tab": True}]))

    async def end(self) -> None:
        """End the process, by force where it does not go by itself."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(self.stop(), _PATIENCE_S)
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()


class WebScreens:
    """The addresses of the screen; `words` start the process of one page."""

    def __init__(self, words: Sequence[str], token: str) -> None:
        self._words, self.token = tuple(words), token
        self._downloads = DownloadManager()
        self._sockets: set[web.WebSocketResponse] = set()
        self.app = web.Application(middlewares=[self._guard], client_max_size=1024)
        self.app.add_routes(
            [
                web.get("/{token}/", self._page),
                web.get("/{token}/page.css", self._style),
                web.get("/{token}/page.js", self._script),
                web.get("/{token}/ws", self._session),
                web.get("/{token}/download/{key}", self._download),
                web.get(r"/{token}/static/{name:(?:css|fonts|js)/[A-Za-z0-9_.-]+}", self._part),
            ]
        )
        self.app.on_shutdown.append(self._close)

    @property
    def open_sessions(self) -> int:
        """How many pages are open."""
        return len(self._sockets)

    async def _close(self, _: web.Application) -> None:
        for one in tuple(self._sockets):
            await one.close(code=WSCloseCode.GOING_AWAY)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse who may not see it, in front of every address, those that there are not too."""
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        is_socket = "Upgrade" in request.headers or request.path.endswith("/ws")
        refused = refusal(self.token, request.path, hosts, origins, is_socket=is_socket)
        if refused is not None:
            status, words = refused
            return web.Response(status=status, text=words + "\n", headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            return web.Response(status=error.status, text=f"{error.reason}\n", headers=HEADERS)
        if not response.prepared:
            response.headers.update(HEADERS)
            response.headers["Content-Security-Policy"] = content_policy(request.host)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        size = request.query.get("fontsize", "")
        font = min(max(int(size), 6), 60) if size.isascii() and size.isdigit() and len(size) < 4 else 16
        text = _PAGE.format(socket=escape(f"ws://{request.host}/{self.token}/ws"), font=font)
        return web.Response(text=text, content_type="text/html")

    async def _style(self, _: web.Request) -> web.Response:
        return web.Response(text=_STYLE, content_type="text/css")

    async def _script(self, _: web.Request) -> web.Response:
        return web.Response(text=_SCRIPT, content_type="text/javascript")

    async def _part(self, request: web.Request) -> web.StreamResponse:
        path = _PARTS / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        try:
            download = await self._downloads.get_download_metadata(request.match_info["key"])
        except KeyError:
            raise web.HTTPNotFound from None
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "application/octet-stream"})
        response.headers["Content-Disposition"] = f'attachment; filename="{download.file_name}"'
        await response.prepare(request)
        async for chunk in self._downloads.download(download.delivery_key):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        if len(self._sockets) >= MOST_SESSIONS:
            raise web.HTTPServiceUnavailable(reason=f"{MOST_SESSIONS} pages are open already")
        websocket = web.WebSocketResponse(heartbeat=15.0, max_msg_size=_MOST_MESSAGE)
        self._sockets.add(websocket)
        try:
            await websocket.prepare(request)
            session = _Session(self._words, websocket, self._downloads, f"http://{request.host}/{self.token}/")
            try:
                await session.start(*(_size(request.query.get(name), name) for name in _SIZES))
                await _pass_on(websocket, session)
            finally:
                await session.end()
        finally:
            self._sockets.discard(websocket)
        return websocket


def _size(value: object, name: str) -> int:
    """Return a size of the terminal in cells that a session can bear, whatever a page asks for."""
    least, most = _SIZES[name]
    try:
        return min(max(int(str(value)[:9]), least), most)
    except ValueError:
        return 80 if name == "width" else 24


async def _pass_on(websocket: web.WebSocketResponse, session: _Session) -> None:
    """Pass on what the page says until it is closed, or says what no page of ours says."""
    async for message in websocket:
        try:
            if message.type is not WSMsgType.TEXT:
                raise ValueError
            kind, *said = json.loads(message.data)
            await _answer(websocket, session, str(kind), said[0] if said else None)
        except (ValueError, TypeError, AttributeError, RecursionError):
            await websocket.close(code=WSCloseCode.POLICY_VIOLATION)
            return


async def _answer(websocket: web.WebSocketResponse, session: _Session, kind: str, said: Any) -> None:
    match kind:
        case "stdin" if isinstance(said, str):
            await session.send_bytes(said.encode())
        case "resize":
            await session.set_terminal_size(*(_size(said.get(name), name) for name in _SIZES))
        case "ping":
            await websocket.send_json(["pong", said])
        case "focus":
            await session.focus()
        case "blur":
            await session.blur()
        case _:
            raise ValueError(kind)


def listening(port: int) -> socket.socket:
    """Return a socket on loopback that listens.

    Raises:
        InputError: the port is taken or may not be had.
    """
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError as error:
        one.close()
        words = f"cannot listen on port {port} ({error.strerror}); --port 0 takes a free one"
        raise InputError(words, key="--port") from error
    return one


@contextlib.asynccontextmanager
async def running(screens: WebScreens, sock: socket.socket) -> AsyncIterator[str]:
    """Serve inside; what is yielded is the whole address. Every session has ended when this is left."""
    runner = web.AppRunner(screens.app, access_log=None, shutdown_timeout=_PATIENCE_S)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/{screens.token}/"
    finally:
        await runner.cleanup()


def serve_web(words: Sequence[str], port: int) -> None:
    """Serve until Ctrl-C or SIGTERM; `words` are those of one session's command line after `watch`.

    Raises:
        InputError: the port is taken.
    """
    # -P: what lies in the current folder is not imported, as it is not by the command itself.
    screens = WebScreens([sys.executable, "-P", "-c", _START, *words], new_token())
    sock = listening(port)

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with running(screens, sock) as address:
            print(address, flush=True)
            _tell(sock.getsockname()[1])
            await stop.wait()

    with sock:
        asyncio.run(serve())


def _tell(port: int) -> None:
    for line in (
        "The screen is at this address, read-only, for browsers of this machine, until Ctrl-C.",
        "Whoever has the address sees the screen: it is as good as a password, and new at each start.",
        f"From elsewhere: ssh -L {port}:127.0.0.1:{port} HOST, then the same address.",
    ):
        print(line, file=sys.stderr)
