"""The screen in a browser: who may see it, and that whoever sees it can change nothing."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from col.errors import InputError, RefusedError
from tests.tui.watch_pilot import drive, notices
from tests.tui.watch_world import WatchWorld, promotion, status
from tui.cli import build_parser, main
from tui.watch.command import make_app
from tui.watch.feeds_operate import Operator
from tui.watch.keys import BINDINGS
from tui.watch.web_guard import content_policy, new_token, refusal
from tui.watch.web_session import ONLY_LOOKS, LooksOnly, WebWatchApp, session_words

TOKEN = "t" * 43
PATH = f"/{TOKEN}/"
PATIENCE_S = 300.0

# --- who may see it


@pytest.mark.parametrize("host", ["127.0.0.1:8010", "localhost:1", "LOCALHOST:8010", "[::1]:8010", "127.0.0.1"])
def test_a_host_of_this_machine_on_any_port_is_answered(host: str) -> None:
    assert refusal(TOKEN, PATH, [host], []) is None
    assert refusal(TOKEN, PATH, [host], [f"http://{host.lower()}"], is_socket=True) is None


@pytest.mark.parametrize(
    "hosts",
    [
        [], ["evil.example"], ["evil.example:8010"], ["127.0.0.1.evil.example"], ["localhost.evil.example:8010"],
        ["127.0.0.1:8010", "evil.example"], ["evil@127.0.0.1:8010"], ["127.0.0.1:8010/"], ["127.0.0.1:8010\n"],
        ["0.0.0.0:8010"], ["127.0.0.2:8010"], ["127.0.0.1:x"], ["١27.0.0.1"], [""],
    ],
)  # fmt: skip
def test_any_other_host_is_refused_even_with_the_token(hosts: list[str]) -> None:
    refused = refusal(TOKEN, PATH, hosts, [])
    assert refused is not None
    assert refused[0] is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "origins",
    [
        ["null"], ["http://evil.example"], ["http://127.0.0.1:9999"], ["http://localhost:8010"], [""],
        ["https://127.0.0.1:8010"], ["http://127.0.0.1:8010", "http://127.0.0.1:8010"], ["http://127.0.0.1:8010.evil.example"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_socket", [False, True])
def test_the_origin_must_be_the_page_that_was_served(origins: list[str], is_socket: bool) -> None:
    refused = refusal(TOKEN, PATH, ["127.0.0.1:8010"], origins, is_socket=is_socket)
    assert refused is not None
    assert refused[0] is HTTPStatus.FORBIDDEN


def test_a_socket_without_an_origin_is_refused_and_a_page_is_not() -> None:
    assert refusal(TOKEN, PATH, ["127.0.0.1:8010"], [], is_socket=True) is not None
    assert refusal(TOKEN, PATH, ["127.0.0.1:8010"], []) is None


@pytest.mark.parametrize(
    "path", ["/", "", f"/{TOKEN[:-1]}/", f"/{TOKEN}t/", f"//{TOKEN}/", "/ws", f"/x/{TOKEN}/", "/tüt/"]
)
def test_without_the_token_there_is_nothing(path: str) -> None:
    refused = refusal(TOKEN, path, ["127.0.0.1:8010"], [])
    assert refused is not None
    assert refused[0] is HTTPStatus.NOT_FOUND
    assert TOKEN not in refused[1]


def test_tokens_are_long_and_each_is_another() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43


def test_the_page_may_load_nothing_from_elsewhere() -> None:
    policy = dict(part.strip().split(" ", 1) for part in content_policy("127.0.0.1:8010").split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws://127.0.0.1:8010"


# --- it only looks


def web_app(world: WatchWorld) -> WebWatchApp:
    world.feeds.runner = world.feeds.starter = None
    world.feeds.operator = LooksOnly(lambda: world.link, world.feed, clock=world.clock)
    return WebWatchApp(world.feeds, folder=world.folder, runs_dir=world.runs_dir, follow=False, operate=True)


class WebWorld(WatchWorld):
    def app(self, **changes: object) -> WebWatchApp:
        world_app = web_app(self)
        self.look()
        return world_app


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_no_key_changes_the_testbed_a_run_or_a_file(tmp_path) -> None:
    world = WebWorld(tmp_path)
    world.link.says = status(next_sequence=40, active=promotion())
    before = files_of(tmp_path)
    leaving = {"quit", "commands", "export", "filter", "jump"}

    async def steps(app, pilot) -> None:
        assert app.look.operate is False
        for binding in BINDINGS:
            if binding.id not in leaving:
                for key in binding.key.split(","):
                    await pilot.press(key)
                    assert len(app.screen_stack) == 1, f"{key} asks something"
                    await pilot.press("escape")
                    if binding.action.startswith("act("):
                        assert ONLY_LOOKS in notices(world).split(" | ")[-1]
        for act in (
            "approve",
            "confirm",
            "roll back",
            "kill switch",
            "rehearse",
            "stop",
            "resume",
            "serve",
            "anything",
        ):
            app.action_act(act)
        await app.workers.wait_for_complete()

    drive(world, steps)
    assert world.link.asked == []
    assert files_of(tmp_path) == before


def test_every_act_of_the_operator_is_refused(tmp_path) -> None:
    world = WatchWorld(tmp_path)
    looks = LooksOnly(lambda: world.link, world.feed, clock=world.clock)
    public = {name for name, value in vars(Operator).items() if callable(value) and not name.startswith("_")}
    assert public - {"look", "close"} == {"approve", "confirm", "roll_back", "kill"}, "what acts must be refused here"
    acts: list[Callable[[], str]] = [
        lambda: looks.approve(world.link.status(), ""),
        lambda: looks.confirm("p-1"),
        lambda: looks.roll_back("p-1", ""),
        lambda: looks.kill(""),
    ]
    for act in acts:
        with pytest.raises(RefusedError, match="only looks"):
            act()
    assert world.link.asked == []


def test_a_screen_for_browsers_cannot_be_made_of_feeds_that_can_act(tmp_path) -> None:
    world = WatchWorld(tmp_path)
    with pytest.raises(ValueError, match="able to act"):
        WebWatchApp(world.feeds)
    world.feeds.runner = None
    with pytest.raises(ValueError, match="able to act"):
        WebWatchApp(world.feeds)


def test_an_export_goes_to_the_browser_and_not_to_the_machine_that_serves(tmp_path) -> None:
    world = WebWorld(tmp_path)
    before = files_of(tmp_path)
    delivered = []

    async def steps(app, pilot) -> None:
        app.deliver_text = lambda text, *, save_filename: delivered.append((text.read(), save_filename))
        await pilot.press("e", "enter")
        await pilot.pause()

    drive(world, steps)
    ((text, name),) = delivered
    assert text.startswith("plant,emulated,")
    assert name.startswith("rantwin-plants-")
    assert name.endswith(".csv")
    assert files_of(tmp_path) == before


# --- the command


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--web", "--operate"], "always read-only"),
        (["--port", "8010"], "is for --web"),
        (["--web", "--port", "65536"], "must be a port"),
        (["--web", "--port", "-1"], "must be a port"),
        (["--web", "no-such-run"], "no-such-run"),
    ],
)
def test_what_cannot_be_served_is_refused_before_it_listens(tmp_path, monkeypatch, capsys, words, says) -> None:
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path))
    with contextlib.suppress(SystemExit):
        assert main(["watch", "--runs-dir", str(tmp_path), *words]) == 2
    assert says in capsys.readouterr().err


def test_a_session_is_told_all_that_the_command_was_told(tmp_path, monkeypatch) -> None:
    words = [
        "watch", "--testbed", "unix:/tmp/a b", "--token-file", "t o", "--tls", "-x", "--timeout", "2.5",
        "--scenario", "zmq", "--runs-dir", str(tmp_path), "--", "--odd",
    ]  # fmt: skip
    words[words.index("--tls") : words.index("--tls") + 2] = ["--tls=-x"]
    parser = build_parser()
    args = parser.parse_args(words)
    again = parser.parse_args(session_words(args))
    assert vars(again) == vars(args)
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path))
    app = make_app(parser.parse_args(["watch", "--runs-dir", str(tmp_path)]), web=True)
    assert isinstance(app, WebWatchApp)


# --- the server

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
