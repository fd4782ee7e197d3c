"""The server of the screen in a browser: sockets, processes and their ends, with a made-up session and the real one."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from col.errors import InputError

TOKEN = "t" * 43
PATH = f"/{TOKEN}/"
PATIENCE_S = 300.0

STUB = """
import json, os, sys
into, out = sys.stdin.buffer, sys.stdout.buffer
def say(kind, data):
    out.write(kind + len(data).to_bytes(4, "big") + data)
    out.flush()
out.write(b"__GANGLION__\\n")
say(b"D", f"{os.environ['COLUMNS']} {os.environ['ROWS']} {os.getpid()}".encode())
while len(head := into.read(5)) == 5:
    data = into.read(int.from_bytes(head[1:], "big"))
    if data == b"open":
        say(b"M", json.dumps({"type": "open_url", "url": "http://evil.example", "new_tab": True}).encode())
    elif data == b"deliver":
        say(b"M", json.dumps({"type": "deliver_file_start", "key": "k1", "path": "/etc/a.csv", "open_method": "browser",
                              "mime_type": "text/html", "encoding": ""}).encode())
    elif head[:1] == b"M" and json.loads(data)["type"] == "quit" and "stubborn" not in sys.argv:
        break
    else:
        say(b"D", data)
"""


def serve(tmp_path: Path, steps: Callable[..., Awaitable[None]], *words: str) -> None:
    """Serve sessions of the stub while the steps run; they get a client, the screens, and the address."""
    aiohttp = pytest.importorskip("aiohttp")
    pytest.importorskip("textual_serve")
    from tui.watch.web_server import WebScreens, listening, running

    stub = tmp_path / "stub.py"
    stub.write_text(STUB)

    async def run() -> None:
        screens = WebScreens([sys.executable, str(stub), *words], TOKEN)
        with listening(0) as sock:
            async with running(screens, sock) as address, aiohttp.ClientSession() as client:
                await asyncio.wait_for(steps(client, screens, address), PATIENCE_S)

    asyncio.run(run())


def origin(address: str) -> dict[str, str]:
    return {"Origin": address.removesuffix(PATH)}


async def process_of(page) -> int:
    """Return the process id that the stub says first."""
    return int((await page.receive_bytes()).split()[2])


async def gone(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():
        await asyncio.sleep(0.02)


def test_the_page_and_its_parts_are_there_with_the_token_alone(tmp_path) -> None:
    async def steps(client, screens, address) -> None:
        base = address.removesuffix(PATH)
        async with client.get(address) as page:
            text = await page.text()
            assert page.status == 200
            assert f'"ws://{base.removeprefix("http://")}{PATH}ws"' in text
            assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert page.headers["Referrer-Policy"] == "no-referrer"
            assert page.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in page.headers
            assert "http" not in text.replace(f"ws://{base}", "").replace("<!DOCTYPE html>", "")
        for part in ("page.css", "page.js", "static/js/textual.js", "static/css/xterm.css"):
            async with client.get(address + part) as answer:
                assert answer.status == 200, part
            async with client.get(f"{base}/{part}") as answer:
                assert answer.status == 404, part
        for path in (
            "static/",
            "static/js/",
            "static/images/background.png",
            "static/js/..",
            "download/none",
            "nothing",
        ):
            async with client.get(address + path) as answer:
                assert answer.status == 404, path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with client.get(address, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
            assert TOKEN not in await answer.text()
        async with client.post(address, data="x") as answer:
            assert answer.status == 405

    serve(tmp_path, steps)


@pytest.mark.parametrize("headers", [{}, {"Origin": "null"}, {"Origin": "http://evil.example"}])
def test_another_page_gets_no_socket_and_starts_no_process(tmp_path, headers) -> None:
    async def steps(client, screens, address) -> None:
        from aiohttp import WSServerHandshakeError

        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect(address + "ws", headers=headers)
        assert refused.value.status == 403
        assert screens.open_sessions == 0

    serve(tmp_path, steps)


def test_a_page_speaks_to_a_process_of_its_own_that_ends_with_it(tmp_path) -> None:
    async def steps(client, screens, address) -> None:
        async with client.ws_connect(address + "ws?width=99999&height=nine", headers=origin(address)) as page:
            width, height, pid = (await page.receive_bytes()).split()
            assert (width, height) == (b"400", b"24")
            await page.send_json(["stdin", "q$(touch x)"])
            assert await page.receive_bytes() == b"q$(touch x)"
            await page.send_json(["resize", {"width": -5, "height": 50}])
            assert json.loads(await page.receive_bytes()) == {"type": "resize", "width": 20, "height": 50}
            await page.send_json(["ping", 7])
            assert await page.receive_json() == ["pong", 7]
            async with client.ws_connect(address + "ws", headers=origin(address)) as other:
                assert await process_of(other) != int(pid)
                assert screens.open_sessions == 2
        await gone(int(pid))

    serve(tmp_path, steps)


@pytest.mark.parametrize(
    "message", ["", "3", "{}", "[]", '["exit"]', '["stdin", 3]', '["resize", 3]', '["resize", null]', "[" * 5000]
)
def test_what_no_page_of_ours_says_ends_the_session(tmp_path, message: str) -> None:
    async def steps(client, screens, address) -> None:
        async with client.ws_connect(address + "ws", headers=origin(address)) as page:
            pid = await process_of(page)
            await page.send_str(message)
            await page.receive()
            assert page.close_code == 1008
        await gone(pid)

    serve(tmp_path, steps)


def test_a_session_sends_the_page_nowhere_and_a_download_only_through_the_token(tmp_path) -> None:
    async def steps(client, screens, address) -> None:
        async with client.ws_connect(address + "ws", headers=origin(address)) as page:
            await process_of(page)
            await page.send_json(["stdin", "open"])
            await page.send_json(["stdin", "deliver"])
            kind, said = await page.receive_json()
            assert (kind, said["url"]) == ("open_url", f"{address}download/k1")

    serve(tmp_path, steps)


def test_a_page_too_many_is_refused_and_can_come_later(tmp_path, monkeypatch) -> None:
    pytest.importorskip("textual_serve")
    monkeypatch.setattr("tui.watch.web_server.MOST_SESSIONS", 1)

    async def steps(client, screens, address) -> None:
        from aiohttp import WSServerHandshakeError

        async with client.ws_connect(address + "ws", headers=origin(address)) as page:
            await process_of(page)
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect(address + "ws", headers=origin(address))
            assert refused.value.status == 503
        while screens.open_sessions:
            await asyncio.sleep(0.02)
        async with client.ws_connect(address + "ws", headers=origin(address)) as page:
            await process_of(page)

    serve(tmp_path, steps)


def test_a_session_that_does_not_end_is_ended_with_the_server_too(tmp_path, monkeypatch) -> None:
    pytest.importorskip("textual_serve")
    monkeypatch.setattr("tui.watch.web_server._PATIENCE_S", 0.3)
    pids = []

    async def steps(client, screens, address) -> None:
        page = await client.ws_connect(address + "ws", headers=origin(address))
        pids.append(await process_of(page))

    serve(tmp_path, steps, "stubborn")
    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_port_that_is_taken_is_said(tmp_path) -> None:
    pytest.importorskip("textual_serve")
    from tui.watch.web_server import listening

    with listening(0) as taken, pytest.raises(InputError, match="--port 0"):
        listening(taken.getsockname()[1])


def test_the_real_screen_comes_to_a_browser_and_goes_with_the_server(tmp_path) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    pytest.importorskip("textual_serve")
    command = [sys.executable, "-m", "tui.cli", "watch", "--web", "--port", "0", "--runs-dir", str(tmp_path / "runs")]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(2 * PATIENCE_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        async def look() -> tuple[bytes, str]:
            seen, url = b"", ""
            headers = {"Origin": address[: address.index("/", 8)]}
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(address + "ws?width=100&height=30", headers=headers) as page,
            ):
                for wanted, then in ((b"no run yet", "e"), (b"Export what is shown", "\r")):
                    while wanted not in seen:
                        seen += await page.receive_bytes()
                    await page.send_json(["stdin", then])
                while not url:
                    message = await page.receive()
                    if message.type is aiohttp.WSMsgType.TEXT:
                        url = json.loads(message.data)[1]["url"]
                async with client.get(url) as download:
                    return seen, await download.text()

        seen, exported = asyncio.run(asyncio.wait_for(look(), PATIENCE_S))
        assert b"read-only" in seen
        assert exported.startswith("plant,emulated,group,")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "read-only" in said
        assert address.split("/")[3] not in said
        assert "Traceback" not in said
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
