"""The picture of the rooms: drawn from the table that the tests hold the imports to, with each room's own question."""

import ast
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# Beside their docstrings, which begin otherwise.
QUESTIONS = {
    "metrics": "What is measured?",
    "clients": "What does a participant do?",
    "strategies": "What does the server do?",
}
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 280, 50, 24, 38, 16


def on_files(files: Files, config: Any) -> Files:
    """Add the picture."""
    files.append(File.generated(config, "images/rooms.svg", content=picture(rooms())))
    return files


def rooms() -> dict[str, set[str]]:
    """Return what each room may import, as ``tests/test_structure.py`` says."""
    body = ast.parse((ROOT / "tests" / "test_structure.py").read_text(encoding="utf-8")).body
    said: list[ast.stmt] = [
        node for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and "ROOMS" in ast.unparse(node)[:5]
    ]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(said, []), "rooms", "exec"), names)
    return {room: {*below} - {room} for room, below in names["ROOMS"].items() if room != "fedlayers"}


def question(room: str) -> str:
    """Return the question that a room answers: the first line of its docstring."""
    if room in QUESTIONS:
        return QUESTIONS[room]
    source = (ROOT / "fedlayers" / room / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def picture(table: Mapping[str, set[str]]) -> str:
    """Return an SVG: what uses others above what they use, and arrows down; those that follow from others left out."""
    # Only what has its place in the table counts: a room that may import everything may not import itself.
    strict = {room: {below for below in allowed if room not in table[below]} for room, allowed in table.items()}

    @cache
    def level(room: str) -> int:
        return max((level(below) + 1 for below in strict[room]), default=0)

    @cache
    def reached(room: str) -> frozenset[str]:
        return frozenset(strict[room]).union(*(reached(below) for below in strict[room]))

    shelves = [[room for room in table if level(room) == height] for height in range(max(map(level, table)) + 1)]
    direct = {
        room: {below for below in allowed if not any(below in reached(other) for other in allowed)}
        for room, allowed in strict.items()
    }
    total = max(map(len, shelves)) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    places: dict[str, tuple[float, float]] = {}

    def middle(room: str) -> float:
        """Return where the rooms lie, on average, that use this one: it is best below them."""
        above = [places[user][0] for user, used in direct.items() if room in used]
        return sum(above) / len(above) if above else total / 2

    for height, shelf in enumerate(reversed(shelves)):
        left = (total - len(shelf) * (WIDTH + GAP_X) + GAP_X) / 2
        for place, room in enumerate(sorted(shelf, key=middle)):
            places[room] = (left + place * (WIDTH + GAP_X), MARGIN + height * (HEIGHT + GAP_Y))
    arrows = [_arrow(places[room], places[below]) for room in table for below in sorted(direct[room])]
    boxes = [_box(*places[room], room) for room in table]
    tall = MARGIN * 2 + len(shelves) * (HEIGHT + GAP_Y) - GAP_Y
    return "\n".join([_HEAD.format(width=total, height=tall), *boxes, *arrows, "</svg>\n"])


_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" text-anchor="middle">
<title>The rooms of fedlayers, and which imports which</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0,0 L8,4 L0,8 z" fill="#7a86b8"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>"""


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return an arrow; one that passes other rooms on its way goes over their edges, in dashes."""
    passes = end[1] - start[1] > HEIGHT + GAP_Y
    beside = 0.4 * WIDTH if passes else 0
    x, y, to_x, to_y = start[0] + WIDTH / 2 + beside, start[1] + HEIGHT, end[0] + WIDTH / 2 + beside, end[1]
    bend = (to_y - y) / 2
    dashes = ' stroke-dasharray="4 3"' if passes else ""
    path = f"M{x:.0f},{y:.0f} C{x:.0f},{y + bend:.0f} {to_x:.0f},{to_y - bend:.0f} {to_x:.0f},{to_y:.0f}"
    return f'<path d="{path}" fill="none" stroke="#7a86b8"{dashes} marker-end="url(#head)"/>'


def _box(x: float, y: float, room: str) -> str:
    fill = "#fff3e0" if room in QUESTIONS else "#e8eaf6"
    middle = x + WIDTH / 2
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#3f51b5"/>'
        f'<text x="{middle:.0f}" y="{y + 20:.0f}" font-size="14" font-weight="bold">{escape(room)}</text>'
        f'<text x="{middle:.0f}" y="{y + 38:.0f}" font-size="10">{escape(question(room))}</text>'
    )
