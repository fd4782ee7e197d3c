"""Keys of the operator: made once, never overwritten, nobody else's to read."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from col.signing import read_private_key, read_public_key
from tui.cli import main
from tui.config_dir import ConfigDir, operator_config_dir
from tui.keys import ensure_signing_key


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigDir:
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path / "config"))
    return operator_config_dir()


def contents(config: ConfigDir) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in config.path.rglob("*") if path.is_file()}


def test_the_config_directory_is_where_the_environment_says() -> None:
    assert operator_config_dir({"RANTWIN_CONFIG_DIR": "/a/b", "HOME": "/h"}).path == Path("/a/b")
    assert operator_config_dir({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}).path == Path("/x/rantwin")
    assert operator_config_dir({"HOME": "/h"}).path == Path("/h/.config/rantwin")


def test_what_is_made_is_for_its_owner_alone_and_the_pairs_fit(config: ConfigDir) -> None:
    assert main(["keys", "make"]) == 0
    modes = {path.relative_to(config.path).as_posix(): path.stat().st_mode & 0o777 for path in contents(config)}
    assert {name for name, mode in modes.items() if mode != 0o600} == {"keys/signing.pub"}
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in [config.path, *config.path.rglob("*")] if path.is_dir())
    key = read_private_key(config.signing_key)
    assert read_public_key(config.signing_public) == key.public


def test_making_keys_again_overwrites_nothing_and_adds_what_is_missing(
    config: ConfigDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "make"]) == 0
    before = contents(config)
    capsys.readouterr()
    assert main(["keys", "make", "--client", "alice", "--json"]) == 0
    states = {Path(e["path"]).name: e["state"] for e in json.loads(capsys.readouterr().out)["files"]}
    assert {name for name, state in states.items() if state == "made"} == {"alice.pem", "alice.key"}
    assert {path: content for path, content in contents(config).items() if path in before} == before


def test_the_ca_vouches_for_server_and_client_each_for_its_own_purpose(config: ConfigDir) -> None:
    assert main(["keys", "make", "--host", "lab.example", "--client", "alice"]) == 0
    authority = Store([x509.load_pem_x509_certificate((config.tls / "ca.pem").read_bytes())])
    builder = PolicyBuilder().store(authority).time(datetime.now(UTC))
    server = x509.load_pem_x509_certificate((config.tls / "server.pem").read_bytes())
    client = x509.load_pem_x509_certificate((config.tls / "alice.pem").read_bytes())
    assert builder.build_server_verifier(x509.DNSName("lab.example")).verify(server, [])
    assert "CN=alice" in client.subject.rfc4514_string()
    with pytest.raises(x509.verification.VerificationError):
        builder.build_server_verifier(x509.DNSName("elsewhere.example")).verify(server, [])


def test_a_host_that_the_kept_server_certificate_lacks_is_said(
    config: ConfigDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "make", "--host", "lab.example", "--host", "192.0.2.7"]) == 0
    assert "for localhost" in capsys.readouterr().out
    before = contents(config)
    assert main(["keys", "make", "--host", "192.0.2.7"]) == 0
    assert main(["keys", "make", "--host", "other.example"]) == 2
    said = capsys.readouterr().err
    assert "server.pem" in said
    assert "not for other.example" in said
    assert contents(config) == before


def test_half_a_pair_is_said_and_left_as_it_is(config: ConfigDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "make"]) == 0
    (config.tls / "server.key").unlink()
    before = contents(config)
    assert main(["keys", "make"]) == 2
    assert "server.key" in capsys.readouterr().err
    assert contents(config) == before


def test_a_secret_that_others_may_read_is_not_used(config: ConfigDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "make"]) == 0
    (config.tls / "ca.key").chmod(0o644)
    capsys.readouterr()
    assert main(["keys", "make", "--client", "bob"]) == 2
    err = capsys.readouterr().err
    assert "chmod 600" in err
    assert err.count("\n") == 1
    assert not (config.tls / "bob.pem").exists()


def test_two_that_need_the_signing_key_at_once_get_the_same_one(config: ConfigDir) -> None:
    code = "from tui.config_dir import operator_config_dir\nfrom tui.keys import ensure_signing_key\n"
    code += "print(ensure_signing_key(operator_config_dir())[0].key_id)"
    many = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate()[0].strip() for process in many}
    assert said == {ensure_signing_key(config)[0].key_id}


def test_no_key_is_shown_before_there_is_one(config: ConfigDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "show"]) == 2
    assert "rantwin keys make" in capsys.readouterr().err
    assert main(["keys", "make"]) == 0
    capsys.readouterr()
    assert main(["keys", "show"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rantwin-ed25519 ")
    assert "PRIVATE" not in out
