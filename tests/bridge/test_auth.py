"""Who may come in, and what it may do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bridge.agent_config import Tls
from bridge.auth import (
    NotAllowedError,
    NotAuthenticatedError,
    authenticator,
    check_exposure,
    parse_address,
    read_token,
    require_operator,
)
from bridge.client import Credentials, TestbedClient
from bridge.identity import Identity, Role
from col.errors import InputError, UnreachableError
from tests.bridge.tls_made import Authority, Pair
from tests.bridge.wire_world import config_in, short_folder, wire_world, write_token

TOKEN = "0123456789abcdef0123456789abcdef"


class Context:
    """What authentication sees of a call."""

    def __init__(self, metadata: tuple[tuple[str, Any], ...] = (), **found: list[bytes]) -> None:
        self._metadata, self._found = metadata, found

    def invocation_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._found


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "gnb.example:1", "localhost.example:1"])
def test_beyond_loopback_nothing_listens_without_tls(listen: str, tmp_path: Path) -> None:
    token = write_token(tmp_path)
    with pytest.raises(InputError, match="tls"):
        authenticator(config_in(tmp_path, listen=listen, token_file=token))
    with pytest.raises(InputError, match="tls"):
        TestbedClient(listen, Credentials(token_file=token))


def test_on_loopback_a_token_is_needed_and_a_private_socket_needs_none(tmp_path: Path) -> None:
    for listen in ("127.0.0.1:1", "[::1]:1", "localhost:1"):
        with pytest.raises(InputError, match="token_file"):
            check_exposure(parse_address(listen), tls=False, token=False)
        check_exposure(parse_address(listen), tls=False, token=True)
    who = authenticator(config_in(tmp_path))(Context())
    assert who.may_operate
    assert who.name == f"uid {os.getuid()}"
    assert "0600" in who.proof


@pytest.mark.parametrize(
    "text", ["", "unix:", "127.0.0.1", "127.0.0.1:", ":5", "host:70000", "host:-1", "unix:/" + "x" * 200, "host:½"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_address(text)


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", TOKEN),),
        (("authorization", "Bearer "),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", f"Bearer {TOKEN[:-1]}"),),
        (("authorization", f"bearer {TOKEN}"),),
        (("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer other")),
        (("authorization", "Bearer \udcff"),),
        (("x-authorization", f"Bearer {TOKEN}"),),
    ],
)
def test_only_the_token_itself_lets_in(metadata: tuple[tuple[str, Any], ...], tmp_path: Path) -> None:
    config = config_in(tmp_path, listen="127.0.0.1:0", token_file=write_token(tmp_path, TOKEN))
    authenticate = authenticator(config)
    with pytest.raises(NotAuthenticatedError):
        authenticate(Context(metadata))
    who = authenticate(Context((("authorization", f"Bearer {TOKEN}"),)))
    assert who.may_operate
    assert TOKEN not in str(who)


def test_a_token_that_others_can_read_or_guess_is_refused(tmp_path: Path) -> None:
    token = write_token(tmp_path)
    token.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        read_token(token)
    for text in ("", "short", "two\nlines of a token file", "t" * 5000, "ä" * 40):
        with pytest.raises(InputError, match="16"):
            read_token(write_token(tmp_path, text))
    with pytest.raises(InputError, match="read"):
        read_token(tmp_path / "absent")


def test_the_role_comes_from_the_names_of_the_certificate(tmp_path: Path) -> None:
    tls = Tls(
        cert=tmp_path,
        key=tmp_path,
        client_ca=tmp_path,
        operators=frozenset({"olga"}),
        viewers=frozenset({"vera", "v2"}),
    )
    authenticate = authenticator(config_in(tmp_path, listen="0.0.0.0:0", tls=tls))
    proof: dict[str, Any] = {"transport_security_type": [b"ssl"]}
    assert authenticate(Context(x509_common_name=[b"olga"], **proof)).role is Role.OPERATOR
    assert authenticate(Context(x509_common_name=[b"vera"], **proof)).role is Role.VIEWER
    other = Context(x509_common_name=[b"?"], x509_subject_alternative_name=[b"v2"], **proof)
    assert authenticate(other) == Identity(name="v2", role=Role.VIEWER, proof="client certificate")
    with pytest.raises(NotAllowedError, match="mallory"):
        authenticate(Context(x509_common_name=[b"mallory"], **proof))
    with pytest.raises(NotAuthenticatedError):
        authenticate(Context(**proof))
    with pytest.raises(NotAuthenticatedError):
        authenticate(Context(x509_common_name=[b"olga"]))
    with pytest.raises(NotAllowedError, match="vera"):
        require_operator(Identity(name="vera", role=Role.VIEWER, proof=""))


def test_a_token_is_asked_for_on_a_real_connection() -> None:
    with short_folder() as folder:
        token = write_token(folder)
        with wire_world(folder, Credentials(token_file=token), listen="127.0.0.1:0", token_file=token) as world:
            assert world.client.status().backend.stack == "scripted"
            (folder / "other").mkdir()
            stranger = write_token(folder / "other", "f" * 32)
            with TestbedClient(world.address, Credentials(token_file=stranger)) as client:
                with pytest.raises(NotAuthenticatedError):
                    client.status()
                with pytest.raises(NotAuthenticatedError):
                    client.roll_back_everything("just so")
            world.client.plan(world.request("mine"))
            (entry, *_) = world.client.journal(0, 100, "mine")
            assert entry.who.startswith("token ")


def test_certificates_decide_on_a_real_connection() -> None:
    with short_folder() as folder:
        ours, theirs = Authority(folder, "ca"), Authority(folder, "other-ca")
        server = ours.issue("agent", "agent.test")
        olga, vera, eve = ours.issue("olga"), ours.issue("vera"), ours.issue("eve")
        forged = theirs.issue("olga2")
        tls = Tls(
            cert=server.cert,
            key=server.key,
            client_ca=ours.cert,
            operators=frozenset({"olga", "olga2"}),
            viewers=frozenset({"vera"}),
        )

        def credentials(pair: Pair) -> Credentials:
            return Credentials(ca=ours.cert, cert=pair.cert, key=pair.key, server_name="agent.test")

        with wire_world(folder, credentials(olga), listen="127.0.0.1:0", tls=tls) as world:
            world.client.plan(world.request("mine"))
            assert world.client.journal(0, 100, "mine")[0].who == "olga"
            with TestbedClient(world.address, credentials(vera)) as viewer:
                assert viewer.status().backend.stack == "scripted"
                with pytest.raises(NotAllowedError, match="vera"):
                    viewer.cancel("mine", "")
            with TestbedClient(world.address, credentials(eve)) as nobody, pytest.raises(NotAllowedError, match="eve"):
                nobody.status()
            with TestbedClient(world.address, credentials(forged), timeout_s=1.0, connect_s=0.5) as client:
                with pytest.raises(UnreachableError):
                    client.status()
                with pytest.raises(UnreachableError):
                    client.roll_back_everything("")
            plain = write_token(folder)
            in_clear = TestbedClient(world.address, Credentials(token_file=plain), timeout_s=1.0, connect_s=0.5)
            with in_clear, pytest.raises(UnreachableError):
                in_clear.status()
            assert {e.who for e in world.client.journal(0, 100)} == {"agent", "olga"}
