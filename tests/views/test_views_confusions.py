"""The last confusion matrix that was recorded, whoever recorded it."""

from typing import Any

import numpy as np
import pytest

from fedlayers.core.records import Spectrum
from fedlayers.figures.classes.confusion import confusion_matrix
from fedlayers.views.confusions import Confusion, last_confusion
from tests.support.figure_tables import frame

CLASSES = ("cat", "dog", "eel")


def row(subject: str, cells: dict[int, int], **address: Any) -> Spectrum:
    told = {"run": "r", "round": 2, "moment": "final", "owner": "client", "model": "global", "scope": "client_test"}
    return Spectrum("confusion", list(cells), list(cells.values()), subject=subject, **{**told, **address})


SERVER = {"owner": "server", "scope": "server_test"}


def test_the_servers_last_test_comes_first() -> None:
    rows = [row("cat", {0: 9}, client=0), row("cat", {0: 1}, **SERVER, moment="after_aggregate", round=1)]
    rows += [row("cat", {0: 2, 2: 1}, **SERVER), row("eel", {1: 4}, **SERVER)]
    found = last_confusion(frame(rows, "spectra"), CLASSES)
    assert found is not None and found.counts.tolist() == [[2, 0, 1], [0, 0, 0], [0, 4, 0]]
    assert found.what == ("server's test set", "final", "round 2")
    expected = np.array([[2 / 3, 0, 1 / 3], [np.nan] * 3, [0, 1, 0]])
    assert np.array_equal(found.shares, expected, equal_nan=True)


def test_clients_and_runs_are_added_up() -> None:
    rows = [row("cat", {0: 2}, client=0), row("cat", {0: 1, 1: 1}, client=1), row("cat", {1: 5}, client=1, round=1)]
    found = last_confusion(frame([*rows, row("dog", {1: 3}, client=0, run="s", round=4)], "spectra"), CLASSES)
    assert found is not None and found.counts.tolist() == [[3, 1, 0], [0, 3, 0], [0, 0, 0]]
    assert found.what == ("clients' test sets", "final", "rounds 2 to 4")


def test_without_one_there_is_nothing() -> None:
    other = Spectrum("hessian_density", [0.0], [1.0], subject="cat", run="r", round=2, moment="final", owner="client")
    assert last_confusion(frame([other], "spectra"), CLASSES) is None


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("size", [2, 3, 40])
def test_the_figure_shows_the_numbers(normalized: bool, size: int) -> None:
    counts = np.diag(np.arange(size) * 3)
    counts[-1, 0] = 1
    figure = confusion_matrix(Confusion(counts, tuple(map(str, range(size)))), {"dataset": "digits"}, normalized)
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    assert shown is not None and float(shown[-1, -1]) == pytest.approx(
        counts[-1, -1] / counts[-1].sum() if normalized else counts[-1, -1]
    )
    assert bool(np.ma.getmaskarray(shown)[0].all()) == normalized  # the first class has no examples
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == (0 if size == 40 else size)
    assert f"of {counts.sum():,}" in figure.get_suptitle()
