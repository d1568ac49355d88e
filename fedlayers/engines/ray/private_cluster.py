"""A Ray of our own that nobody else can use: it listens on the loopback interface and asks for a token of its owner's.

Ray trusts whoever reaches it: a client of any user of the node could run code as the user who started it. Its servers
listen on all interfaces, and it opens its folder to everyone, unless told otherwise. It also starts processes that only
a dashboard, a terminal or nodes that come and go would need.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray._private import ray_constants
from ray._private.node import Node
from ray._raylet import (  # type: ignore[attr-defined]  # compiled
    AuthenticationMode,
    AuthenticationTokenLoader,
    Config,
    get_authentication_mode,
)

TOKEN_FILE = "token"
# With clusters disabled, as they are by default where Ray does not support them, all its servers listen on 127.0.0.1.
_CLUSTERS = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
# What starts a process each: a server of usage statistics, one that reads logs out on the terminal, one that asks for
# more nodes. Importing takes each of them about a second of a core while the run's workers start.
_NEEDLESS = ("start_api_server", "start_log_monitor", "start_monitor")
_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
# At Ray's default of 15, a run stands nearly still beside any other program of the machine.
_NICENESS = ray_constants.RAY_WORKER_NICENESS


@contextmanager
def owner_alone(folder: Path) -> Iterator[Path]:
    """Let the Ray that is started in a block of code be reached by this user alone, and its workers have our priority.

    Args:
        folder: a folder of mode 0700 that belongs to this user; the token is put there.

    Yields:
        The folder that is to be Ray's temporary one: it lies in ``folder``, since Ray opens its own to everyone.
    """
    token = folder / TOKEN_FILE
    token.touch(mode=0o600, exist_ok=False)
    token.write_text(secrets.token_hex(32))
    clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        # Ray's processes inherit the variables.
        ours = {_MODE: "token", _TOKEN_PATH: str(token), _CLUSTERS: "0", _NICENESS: "0"}
        with _environment({**ours, _TOKEN: None}):
            use_token(True)
            yield folder / "r"
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters


@contextmanager
def nothing_needless() -> Iterator[None]:
    """Let the Ray that is started in a block of code have the processes alone that a run on this node needs."""
    before = {name: getattr(Node, name) for name in _NEEDLESS}
    for name in _NEEDLESS:
        setattr(Node, name, lambda node, **how: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def as_the_environment_says() -> None:
    """Let a Ray that is joined be asked with the token that ``RAY_AUTH_MODE`` and its companions name, if any."""
    use_token(os.environ.get(_MODE) == "token")


def use_token(yes: bool) -> None:
    """Let this process show a token, or none, to the next Ray, also if it has had another one before."""
    if (get_authentication_mode() == AuthenticationMode.TOKEN) != yes:
        # Ray reads the variable when it is imported, which may be long ago.
        Config.initialize(json.dumps({"AUTH_MODE": "token" if yes else "disabled"}).encode())
    AuthenticationTokenLoader.instance().reset_cache()
    if yes:  # it is read now, while the variables are set
        AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)


@contextmanager
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
    """Set environment variables (None: take away) for a block of code."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
