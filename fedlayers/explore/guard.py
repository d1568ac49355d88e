"""Who is answered: programs of this machine, or who knows the token; never another page in the same browser."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fedlayers.explore.mistakes.refusals import refused
from fedlayers.explore.names import LOOPBACK

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "fedlayers_token"
_MISDIRECTED, _FORBIDDEN, _UNAUTHORIZED = 421, 403, 401
# Nothing of a page may come from elsewhere, and no other page may frame it.
_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
     b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip


class Guard:
    """Passes on to an application what it may answer.

    A page somewhere else may have its own name point to this machine (DNS rebinding): so the Host that a request names
    must be an address or a name of this machine. Requests that another page makes are refused by their Origin and by
    what the browser says of them (Sec-Fetch-Site).

    Args:
        app: the application.
        token: what a request must bring: ``Authorization: Bearer``, or ``?token=`` once, which leaves a cookie; None
            where only this machine can ask.
        names: names by which this machine is called beside ``localhost``.
    """

    def __init__(self, app: App, token: str | None = None, names: Iterable[str] = ()) -> None:
        self._app, self._token = app, token
        self._names = {*LOOPBACK, *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, sentence, cookie = self._judged(scope, headers)

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [*message.get("headers", ())]
                # The page says itself what it may run.
                said = {name.lower() for name, _ in own}
                extra = [(name, value) for name, value in _HEADERS if name not in said]
                extra += [(b"set-cookie", cookie.encode("latin-1"))] if cookie else []
                message["headers"] = [*own, *extra]
            await send(message)

        await (refused(status, sentence) if sentence else self._app)(scope, receive, sent)

    def _judged(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str]:
        """Return a status and a sentence for what is refused, empty for what is not, and a cookie to leave."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return _MISDIRECTED, f"Host must be an address or a name of this machine, got {host!r}", ""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _FORBIDDEN, f"Origin must be this service's own ({host}), got {origin!r}", ""
        site, opened = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode") == "navigate"
        if site not in ("same-origin", "none") and not (opened and scope["method"] == "GET"):
            return _FORBIDDEN, "another page asked for this: open the service's own address", ""
        return self._token_judged(scope, headers)

    def _token_judged(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str]:
        if self._token is None:
            return 0, "", ""
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        if asked and self._is_token(asked):
            return 0, "", f"{COOKIE}={asked}; HttpOnly; SameSite=Strict; Path=/"
        kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        word, _, brought = headers.get("authorization", "").partition(" ")
        if self._is_token(kept.value if kept else "") or (word.lower() == "bearer" and self._is_token(brought)):
            return 0, "", ""
        return _UNAUTHORIZED, "give the token of --token: ?token=... in the address, or Authorization: Bearer", ""

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(text.encode(), self._token.encode())

    def _is_ours(self, host: str) -> bool:
        """Say whether a Host is this machine's: a name of it, or any address, which no name can be made to point to."""
        if "@" in host:  # a user's name, which no browser sends
            return False
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
