"""The service on a port of this machine."""

import ipaddress
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.core.errors import UserError
from fedlayers.explore.answers import RunAnswers
from fedlayers.explore.calm import Calm
from fedlayers.explore.names import LOOPBACK, own_names
from fedlayers.explore.place import Place
from fedlayers.explore.reading_ahead import read_ahead
from fedlayers.explore.slices import TablesInMemory

if TYPE_CHECKING:
    import uvicorn

_SHORTEST_TOKEN = 16
# A column of a large run is read in less.
_LAST_READ_S = 20.0
# A page draws what it got, on the same processors, before the rest of a large run is read.
_QUIET_S = 2.0


def serve(folder: Path, host: str, port: int, token: str | None, open_page: bool, say: Callable[[str], None]) -> int:
    """Answer until a signal comes; return the exit code.

    Args:
        folder: a run's, or a study's.
        host: the address that is listened on.
        port: the port; 0 for one that is free.
        token: what requests must bring; needed beyond this machine.
        open_page: whether the page is opened in a browser.
        say: told the address.

    Raises:
        UserError: the folder is neither, the address cannot be had, or others could ask without a token.
    """
    place = Place.at(folder)
    check_token(host, token)
    listening = _listening(host, port)
    address, elsewhere = addresses(host, listening.getsockname()[1], token)
    # A large run is read while the service itself is loaded, which takes a second or more.
    calm = Calm(_QUIET_S)
    answers = RunAnswers(TablesInMemory(calm=calm))
    ending = threading.Event()
    reading = threading.Thread(target=read_ahead, args=(place, answers, ending.is_set), daemon=True)
    reading.start()
    with calm.asking():  # who got the address may wait already
        server = _server(place, token, [host, *own_names()] if token else [], answers)
    say(f"exploring {folder}: {address} (Ctrl-C ends; {address.partition('?')[0]}docs says what can be asked)")
    if elsewhere:
        say(f"from elsewhere: {elsewhere}")
    if open_page:
        webbrowser.open(address)
    try:
        server.run(sockets=[listening])
    finally:
        # Arrow's own threads wait for ever for one that is cut off while it reads, and the process with them.
        ending.set()
        calm.end()
        reading.join(_LAST_READ_S)
    return 0


def _server(place: Place, token: str | None, names: list[str], answers: RunAnswers) -> "uvicorn.Server":
    import uvicorn

    from fedlayers.explore.app import application

    ending: list[uvicorn.Server] = []
    app = application(place, token, names, lambda: ending[0].should_exit, answers)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, server_header=False))
    ending.append(server)
    return server


def addresses(host: str, port: int, token: str | None) -> tuple[str, str]:
    """Return the address to open on this machine, and that for others where all of this machine's are listened on.

    Args:
        host: the address that is listened on.
        port: the port.
        token: what requests must bring.
    """
    end = f":{port}/" + (f"?token={token}" if token else "")
    every = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host)
    if every is not None:
        return f"http://{every}{end}", f"http://{own_names()[0]}{end}"
    return f"http://{f'[{host}]' if ':' in host else host}{end}", ""


def check_token(host: str, token: str | None) -> None:
    """Check that whoever could ask needs a token.

    Raises:
        UserError: others could ask without one, or it is too short to be secret or cannot stand in an address.
    """
    if token is None:
        if not _is_loopback(host):
            raise UserError(
                f"--token is needed with --host {host}, since others than this machine could ask: give a secret of at "
                f"least {_SHORTEST_TOKEN} letters and digits, or listen on 127.0.0.1 and reach it through ssh -L"
            )
    elif len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.replace("-", "").replace("_", "").isalnum()):
        raise UserError(
            f"--token must be at least {_SHORTEST_TOKEN} letters, digits, - or _, got {len(token)} characters: "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        # Who reads the address can ask at once, and waits until all is loaded.
        found.listen(128)
    except OSError as error:
        found.close()
        raise UserError(
            f"--host {host} --port {port} cannot be listened on ({error.strerror or error}): choose another port "
            "(0 for a free one) or another address of this machine"
        ) from None
    return found
