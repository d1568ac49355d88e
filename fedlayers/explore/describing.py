"""The page ``/docs``: what ``/openapi.json`` says, to be read by people; it loads nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>fedlayers: the service</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{border:1px solid #8888;padding:.2rem .6rem;text-align:left;vertical-align:top}
code{font:14px ui-monospace,monospace}h2{margin-top:2rem;border-top:1px solid #8888;padding-top:1rem}</style></head>"""


def description_page(document: Mapping[str, Any]) -> str:
    """Return the page that describes a service.

    Args:
        document: in OpenAPI's form.
    """
    info = document["info"]
    return "".join([
        _HEAD, f"<body><h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>",
        '<p>For programs: <a href="openapi.json"><code>openapi.json</code></a></p>',
        *(part for path, methods in document["paths"].items() for part in _path(path, methods, document)),
        "</body></html>",
    ])  # fmt: skip


def _path(path: str, methods: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    for method, one in methods.items():
        yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(one.get('description', ''))}</p>"
        rows = [*one.get("parameters", ())]
        body = one.get("requestBody")
        if rows:
            yield "<table><tr><th>parameter</th><th>in</th><th>kind</th><th>meaning</th></tr>"
            yield from (_row(row["name"], row["in"], row["schema"], row.get("description", "")) for row in rows)
            yield "</table>"
        if body:
            schema = _resolved(next(iter(body["content"].values()))["schema"], document)
            yield "<p>Body, JSON:</p><table><tr><th>entry</th><th>in</th><th>kind</th><th>meaning</th></tr>"
            yield from (
                _row(name, "body", entry, entry.get("description", "")) for name, entry in schema["properties"].items()
            )
            yield "</table>"


def _row(name: str, where: str, schema: Mapping[str, Any], meaning: str) -> str:
    cells = (f"<code>{escape(name)}</code>", escape(where), escape(_kind(schema)), escape(meaning))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the kind of a value in a few words."""
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return f"any number of: {_kind(schema['items'])}"
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([schema.get("type", "any"), *limits])


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a schema refers to."""
    found: Mapping[str, Any] = document
    for part in schema["$ref"].removeprefix("#/").split("/") if "$ref" in schema else ():
        found = found[part]
    return found if "$ref" in schema else schema
