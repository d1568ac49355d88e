"""Modules of the page as one file."""

import pytest

from fedlayers.charts.joined import joined
from fedlayers.charts.web_files import module_names, web_files


def test_each_module_comes_after_those_that_it_imports_and_has_their_names() -> None:
    text = joined({
        "fedlayers/b.js": 'import { one as uno } from "fedlayers/a.js";\nimport * as a from "fedlayers/a.js";\n'
        'export const later = () => import("fedlayers/c.js");',
        "fedlayers/a.js": "export let one = 1;\nexport async function two() {}\nexport class Three {}",
    })  # fmt: skip
    assert text.index('held["fedlayers/a.js"] = ') < text.index('held["fedlayers/b.js"] = ')
    assert 'const { one: uno } = held["fedlayers/a.js"];\nconst a = held["fedlayers/a.js"];' in text
    assert 'const later = () => moduleOf("fedlayers/c.js");' in text
    assert "get one() { return one; }, get two() { return two; }, get Three() { return Three; }," in text
    assert "import" not in text and "export" not in text


def test_what_is_not_among_them_is_there_already() -> None:
    text = joined({"fedlayers/b.js": 'import { one } from "fedlayers/a.js";'})
    assert 'const { one } = held["fedlayers/a.js"];' in text and 'held["fedlayers/a.js"] = ' not in text


def test_all_modules_of_the_page_can_be_joined() -> None:
    texts = {name: web_files()[path].read_text(encoding="utf-8") for name, path in module_names(web_files()).items()}
    text = joined(texts)
    assert all(text.count(f'held["{name}"] = ') == 1 for name in texts)


@pytest.mark.parametrize("line", ['import "fedlayers/a.js";', "export default 1;", "await begin();", "export { one };"])
def test_another_form_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"fedlayers/b\.js cannot be put into one file with other modules: "):
        joined({"fedlayers/b.js": f"const one = 1;\n{line}"})


def test_modules_that_import_one_another_are_refused() -> None:
    texts = {f"fedlayers/{a}.js": f'import {{ one }} from "fedlayers/{b}.js";' for a, b in ("ab", "ba")}
    with pytest.raises(ValueError, match=r"one another: fedlayers/a\.js -> fedlayers/b\.js -> fedlayers/a\.js"):
        joined(texts)
