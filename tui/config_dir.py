"""The operator's config directory: keys, certificates of TLS, the token, the agent's default configuration.

`$RANTWIN_CONFIG_DIR`, else `$XDG_CONFIG_HOME/rantwin`, else `~/.config/rantwin`. It and what is in it belong to its
owner alone; a file that is there already is never written over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from col.errors import InputError

__all__ = ["ConfigDir", "operator_config_dir"]


@dataclass(frozen=True, slots=True)
class ConfigDir:
    """The directory and the places of what is in it. Nothing exists before it is written."""

    path: Path

    @property
    def signing_key(self) -> Path:
        """The operator's private Ed25519 key, PEM."""
        return self.path / "keys" / "signing.pem"

    @property
    def signing_public(self) -> Path:
        """The public key that goes with it: what an agent is told to trust."""
        return self.path / "keys" / "signing.pub"

    @property
    def tls(self) -> Path:
        """The folder of the CA and of the certificates of server and clients."""
        return self.path / "tls"

    @property
    def token(self) -> Path:
        """The token for an agent on loopback."""
        return self.path / "token"

    @property
    def agent_config(self) -> Path:
        """The configuration of the agent that `rantwin serve` starts."""
        return self.path / "agent.toml"

    @property
    def agent_state(self) -> Path:
        """The state of that agent: journal, socket, log."""
        return self.path / "agent"

    @property
    def agent_socket(self) -> Path:
        """The socket of that agent."""
        return self.agent_state / "agent.sock"

    @property
    def testbed(self) -> Path:
        """The folder of the embedded testbed: its socket, its state, its log."""
        return self.path / "testbed"

    def folder(self, path: Path) -> Path:
        """Make a folder under this one, for its owner alone."""
        for part in [self.path, *reversed([p for p in (path, *path.parents) if self.path in p.parents])]:
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def write_new(self, path: Path, content: bytes) -> bool:
        """Write a private file (0600) durably; False, and nothing is touched, where there is one already."""
        self.folder(path.parent)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        return True

    def read_private(self, path: Path) -> bytes:
        """Return a secret; InputError where there is none, or where others than its owner may read it."""
        try:
            with path.open("rb") as source:
                mode = os.fstat(source.fileno()).st_mode
                content = source.read()
        except FileNotFoundError:
            raise InputError("no such file; 'rantwin keys make' makes it", source=str(path)) from None
        if stat.S_IMODE(mode) & 0o077:
            raise InputError(f"has mode {mode & 0o777:04o}, others may use it: chmod 600 {path}", source=str(path))
        return content


def operator_config_dir(environment: Mapping[str, str] | None = None) -> ConfigDir:
    """Return the operator's config directory; nothing is created."""
    env = os.environ if environment is None else environment
    if chosen := env.get("RANTWIN_CONFIG_DIR"):
        return ConfigDir(Path(chosen).absolute())
    if base := env.get("XDG_CONFIG_HOME"):
        return ConfigDir(Path(base).absolute() / "rantwin")
    return ConfigDir(Path(env.get("HOME") or Path.home()) / ".config" / "rantwin")
