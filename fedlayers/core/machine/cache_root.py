"""Where the user's machine keeps what can be made again."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Return the folder of prepared arrays: ``FEDLAYERS_CACHE`` if set, else the user's cache folder."""
    chosen = os.environ.get("FEDLAYERS_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_cache_path("fedlayers")
