"""The built pages load nothing from the network: checked after every build."""

import re
from pathlib import Path
from typing import Any

# What a browser fetches by itself when it opens a page; links that a reader may follow are not among it.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|link(?![^>]*rel=\"?canonical))\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^>]*>"
)


def on_post_build(config: Any) -> None:
    """Fail if a page would fetch something from another place."""
    site = Path(config.site_dir)
    found = {page.relative_to(site): FETCHED.findall(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    if strange := {str(page): tags for page, tags in found.items() if tags}:
        raise SystemExit(f"pages of the site load from the network: {strange}")
