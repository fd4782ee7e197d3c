"""Who may see the screen in a browser: the token in the address, the Host and the Origin of every request.

The server listens on loopback alone, but any page that a browser of this machine shows can send requests there. So a
request must name a host of this machine (a page elsewhere that has its own name pointed here is refused), one with an
Origin must come from the page that we served, and every path begins with a token that nobody can guess. No cookie:
those of one port are sent to every other port of the host.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from http import HTTPStatus

__all__ = ["HEADERS", "content_policy", "new_token", "refusal"]

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer, refusals too."""


def new_token() -> str:
    """Return a token of 256 random bits, for one start of the server."""
    return secrets.token_urlsafe(32)


def content_policy(host: str) -> str:
    """Return what the page may load: our own scripts, fonts and the one socket; nothing from anywhere else."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        f"img-src 'self' data:; connect-src 'self' ws://{host}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def refusal(
    token: str, path: str, hosts: Sequence[str], origins: Sequence[str], *, is_socket: bool = False
) -> tuple[HTTPStatus, str] | None:
    """Return why a request is refused, None where it is not.

    `path` is as it came, `hosts` and `origins` are all headers of those names. A socket must have an Origin: browsers
    send it always, and let any page open a socket to any address.
    """
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        return HTTPStatus.FORBIDDEN, "the Host of the request is not this machine"
    ours = f"http://{hosts[0]}".casefold()
    if (origins or is_socket) and [origin.casefold() for origin in origins] != [ours]:
        return HTTPStatus.FORBIDDEN, "the Origin of the request is another page"
    first = path.removeprefix("/").partition("/")[0]
    if not hmac.compare_digest(first.encode(), token.encode()):
        return HTTPStatus.NOT_FOUND, "no such page; the whole address stands where 'rantwin watch --web' was started"
    return None
