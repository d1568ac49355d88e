"""Pages of the site that are made: from the README and its neighbours, docstrings, ``conf/`` and examples."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGES = ("fedlayers", "metrics", "clients", "strategies")
# Files beside docs/ that are pages of the site, and what links to other such places lead to.
NEIGHBOURS = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
SETTING = re.compile(r"^( *)([\w./@-]+): *(.*?)(?: +# (.*))?$")


def on_config(config: Any) -> Any:
    """Fill in the sections of the navigation that end in a slash."""
    made = pages()
    config.nav = list(_filled(config.nav, made))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for uri, text in pages().items():
        files.append(File.generated(config, uri, content=text))
    return files


def pages() -> dict[str, str]:
    """Return the text of every page that is made, by its place in the site."""
    made = {page: _from_root((ROOT / name).read_text(encoding="utf-8")) for name, page in NEIGHBOURS.items()}
    made["settings.md"] = _settings()
    made |= {f"examples/{path.stem}.md": _example(path) for path in sorted((ROOT / "examples").glob("*.py"))}
    for package in PACKAGES:
        folders = sorted(path.parent for path in (ROOT / package).rglob("__init__.py"))
        made |= {f"python/{_dotted(folder)}.md": _reference(folder) for folder in folders}
    return made


def _filled(nav: list[dict[str, Any]], made: dict[str, str]) -> Iterator[dict[str, Any]]:
    for entry in nav:
        ((title, place),) = entry.items()
        if isinstance(place, list):
            yield {title: list(_filled(place, made))}
        elif place.endswith("/"):
            yield {title: [{_title(made[uri]): uri} for uri in made if uri.startswith(place)]}
        else:
            yield entry


def _title(text: str) -> str:
    return text.splitlines()[0].removeprefix("# ").strip("`")


def _from_root(text: str) -> str:
    """Return a page of the repository's root with links that lead to the same places in the site."""
    return LINK.sub(lambda link: _in_site(link[1]), text)


def _in_site(place: str) -> str:
    if place in NEIGHBOURS:
        return NEIGHBOURS[place]
    if place.startswith("conf"):
        return "settings.md"
    if place.startswith("examples/"):
        return place.replace(".py", ".md")
    return place.removeprefix("docs/")


def _example(path: Path) -> str:
    """Return a page with a script: its docstring as text, its code as it is."""
    source = path.read_text(encoding="utf-8")
    title, _, text = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    code = source.split('"""', 2)[2].strip()
    return f"# {title.rstrip('.')}\n\n{text}\n\n```sh\npython examples/{path.name}\n```\n\n```python\n{code}\n```\n"


def _dotted(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT).parts)


def _reference(folder: Path) -> str:
    """Return a page with the public modules of one folder: what it exports, then everything where it is defined."""
    name = _dotted(folder)
    exported, defined = _contents(folder / "__init__.py")
    names = [
        # Constants are exported, too, and have no place in the page: what cannot be found is no link.
        f'- <autoref identifier="{name}.{one}" optional><code>{name}.{one}</code></autoref>'
        for one in exported
        if not one.startswith("_")
    ]
    modules = [_dotted(path.with_suffix("")) for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    parts = [
        f"# `{name}`",
        f"::: {name}\n    options:\n      show_root_heading: false\n      members: {defined}",
        "\n".join(names),
        *(f"::: {module}" for module in modules),
    ]
    return "\n\n".join(parts) + "\n"


def _contents(path: Path) -> tuple[list[str], list[str]]:
    """Return the names that a package exports, and the public ones that it defines itself."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    lists = [node.value for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    defined = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [*(ast.literal_eval(lists[0]) if lists else [])], [name for name in defined if name[0] != "_"]


def _settings() -> str:
    """Return a page with every option of every group: its keys, their defaults, and the comments beside them."""
    conf = ROOT / "conf"
    parts = [
        "# Settings",
        "Every file of `conf/`: `group=option` chooses one, `key=value` changes a value of it.\n"
        "`python -m fedlayers --cfg job` shows all values of a command.",
        "## Of every run",
        _option(conf / "config.yaml", prefix=""),
    ]
    for group in sorted({path.parent for path in conf.rglob("*.yaml")} - {conf, conf / "hydra" / "help"}):
        name = group.relative_to(conf).as_posix()
        parts.append(f"## {name}")
        for option in sorted(group.glob("*.yaml")):
            parts += [f"### {name}={option.stem}", _option(option, prefix=_prefix(name))]
    return "\n\n".join(parts) + "\n"


def _prefix(group: str) -> str:
    """Return what stands before the keys of an option on the command line."""
    return "" if group == "experiment" else group.replace("/", ".") + "."


def _option(path: Path, prefix: str) -> str:
    """Return one YAML file as text and a table."""
    lines = path.read_text(encoding="utf-8").splitlines()
    about = [line.removeprefix("#").removeprefix(" ") for line in lines[: _first_setting(lines)]]
    rows = list(_rows(lines, prefix))
    table = ["| key | default | |", "|---|---|---|", *rows] if rows else []
    return "\n".join(_with_code(about)) + "\n\n" + "\n".join(table)


def _first_setting(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))


def _with_code(about: list[str]) -> Iterator[str]:
    """Yield the lines of a comment; those that are indented are code."""
    for line, before in zip(about, ["", *about], strict=False):
        indented = line.startswith("  ")
        if indented and not before.startswith("  "):
            yield ""
        yield "    " + line if indented else line


def _rows(lines: list[str], prefix: str) -> Iterator[str]:
    """Yield a row of the table for every value and for every headline between them."""
    keys: list[str] = []
    for line in lines[_first_setting(lines) :]:
        if line.startswith("# ---"):
            yield f"| **{line.removeprefix('# ---').strip()}** | | |"
        if not (found := SETTING.match(line)):
            continue
        indent, key, value, comment = found.groups()
        keys[len(indent) // 2 :] = [key]
        if keys[0] != "defaults" and (value or comment):
            name = f"`{prefix}{'.'.join(keys)}`"
            yield f"| {name} | {_cell(f'`{value}`' if value else '')} | {_cell(comment or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
