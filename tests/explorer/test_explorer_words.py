"""Texts in the view Heterogeneity: a record's words are marked by how much of each reaches the end of the attention."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fedlayers.config.compose import compose_config
from fedlayers.execution.execute import execute
from fedlayers.heterogeneity.maps import two_maps
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from tests.conftest import QUICK
from tests.support.browser import accessibility_faults
from tests.support.heterogeneity_page import settled

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

RECORD = 4
BEGINNINGS = ("call now, win cash", "are you home", "win a prize now", "see you at home later", "<b>ok</b>")
WORDS = [
    *(word for word in QUICK if not word.startswith(("clients", "metrics", "examples", "model"))),
    *("+dataset=sms", "clients=2", "examples_per_client=60", "metrics=[evaluation]", "engine=local", "training.lr=0.3"),
    *("snapshots.rounds=[all]", "snapshots.clients=true", "study=texts"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of made-up messages, beside the one that it is compared with."""
    root = tmp_path_factory.mktemp("data")
    (root / "sms").mkdir()
    lines = [
        f"{'spam' if k % 5 in (0, 2) else 'ham'}\t{BEGINNINGS[k % 5]} word{'abcdefghij'[k % 10] * (1 + k // 10 % 9)}"
        for k in range(240)
    ]
    (root / "sms" / "SMSSpamCollection").write_text("\n".join(lines) + "\n")
    where = [f"data_dir={root}", f"results_dir={tmp_path_factory.mktemp('results')}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAYERS_CACHE", str(root / "cache"))
        folders = [
            execute(compose_config([*WORDS, *where, f"algorithm={algorithm}"])) for algorithm in ("local", "fedavg")
        ]
    return Run(folders[-1])


@pytest.fixture
def address(run: Run, serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    service = serve(run.folder)
    yield service.address
    service.stop()


def test_words_are_marked_by_what_of_them_reaches_the_end_in_both_models(
    open_page: Callable[..., "Page"], address: str, run: Run
) -> None:
    page = open_page(f"{address}#view=heterogeneity&client=0&heterogeneity.example={RECORD}")
    settled(page)
    two = TwoModels(run, 0)
    maps = two_maps(two, [RECORD], "attention", None, None)
    codes = [int(code) for code in two.records.raw([RECORD]).flatten() if code]
    words = [run.data.vocabulary[code] for code in codes]
    texts = page.locator("#heterogeneity-example blockquote")
    assert texts.count() == 2
    for at, values in enumerate((maps.local, maps.federated)):
        marked = texts.nth(at).locator("mark")
        assert marked.all_inner_texts() == words
        shares = marked.evaluate_all("(all) => all.map((one) => parseInt(one.style.getPropertyValue('--share')))")
        assert shares == pytest.approx([100 * float(value) for value in values.flatten()[: len(words)]], abs=0.51)
        assert max(shares) == 100 and min(shares) < 100
        depths = marked.evaluate_all("(all) => all.map((one) => getComputedStyle(one).backgroundColor)")
        assert len(set(depths)) == len(set(shares))
    assert page.locator("#heterogeneity-example").inner_text().count("darkest: most") == 2
    assert accessibility_faults(page) == []
