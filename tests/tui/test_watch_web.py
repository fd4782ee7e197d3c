"""The screen in a browser: who may see it, and that whoever sees it can change nothing."""

import contextlib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from col.errors import RefusedError
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
