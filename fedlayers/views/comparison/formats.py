"""A table of texts as plain text, Markdown and LaTeX."""

from collections.abc import Callable, Iterable, Mapping

from fedlayers.views.comparison.sheets import LEGEND, Sheet

_LATEX: Mapping[str, str] = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$", "χ²": r"$\chi^2$"},
}


def as_text(sheet: Sheet) -> str:
    """Return a table whose columns are as wide as their texts; the best is starred."""
    marked = _marked(sheet, str, lambda text: f"{text}*")
    columns = list(zip(sheet.header, *marked, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(text.ljust(width) if place == 0 else text.rjust(width) for place, (text, width) in enumerate(line))
        for line in (zip(row, widths, strict=True) for row in (sheet.header, *marked))
    ]
    legend = [f"* {LEGEND}"] if sheet.best else []
    return "\n".join([sheet.title, *(line.rstrip() for line in lines), *legend])


def as_markdown(sheet: Sheet) -> str:
    """Return a table in Markdown; the best is bold."""
    marked = _marked(sheet, lambda text: text.replace("|", "\\|"), lambda text: f"**{text}**")
    rows = [sheet.header, ("---", *["---:"] * (len(sheet.header) - 1)), *marked]
    legend = ["", f"Bold: {LEGEND}"] if sheet.best else []
    return "\n".join([sheet.title, "", *(f"| {' | '.join(row)} |" for row in rows), *legend])


def as_latex(sheet: Sheet) -> str:
    r"""Return a table for LaTeX with the package booktabs; the best is bold."""
    marked = _marked(sheet, _escaped, lambda text: f"\\textbf{{{text}}}")
    lines = [f"{' & '.join(row)} \\\\" for row in (map(_escaped, sheet.header), *marked)]
    head, body = lines[0], lines[1:]
    legend = [r"\par\smallskip", f"Bold: {LEGEND}"] if sheet.best else []
    return "\n".join(
        [
            *(r"\begin{table}", r"\centering", f"\\caption{{{_escaped(sheet.title)}}}"),
            *(f"\\begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}", r"\toprule", head, r"\midrule", *body),
            *(r"\bottomrule", r"\end{tabular}", *legend, r"\end{table}"),
        ]
    )


def _marked(sheet: Sheet, plain: Callable[[str], str], best: Callable[[str], str]) -> list[tuple[str, ...]]:
    """Return the rows with the cells that stand out marked."""
    return [
        tuple(best(plain(text)) if (row, column) in sheet.best else plain(text) for column, text in enumerate(cells))
        for row, cells in enumerate(sheet.rows)
    ]


def _escaped(text: str) -> str:
    """Return a text in which nothing means anything to LaTeX."""
    found = "".join(_LATEX.get(char, char) for char in text)
    return found.replace("χ²", _LATEX["χ²"])


def joined(parts: Iterable[str]) -> str:
    """Return parts with an empty line between two."""
    return "\n\n".join(parts)
