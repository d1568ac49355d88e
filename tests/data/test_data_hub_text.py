"""Texts and tokenizers' codes in the formats of the hub, read without a network."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.core.kinds.tokens import RESERVED
from fedlayers.data.formats.hub_text import HubText
from fedlayers.data.load import load_federation
from tests.support.data_configs import config


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


def saved(root: Path, columns: dict[str, list[Any]]) -> Path:
    datasets.Dataset.from_dict(columns).to_parquet(str(root / "all.parquet"))
    return root / "all.parquet"


TEXTS = [f"{'good' if k % 2 else 'bad'} day number{'abcdefghijklmnopqrst'[k % 20] * (1 + k // 20)}" for k in range(40)]


def test_texts_have_a_vocabulary_of_training_words(tmp_path: Path) -> None:
    saved(tmp_path, {"text": TEXTS, "label": [k % 2 for k in range(40)]})
    data = {"path": "all.parquet", "name": "mine"}
    federation = load_federation(config("hub_text", clients=2, data=data, data_dir=str(tmp_path)))
    train = torch.cat([own.batch(torch.arange(len(own)))[0] for own in federation.splits["client_train"]])
    assert train.dtype == torch.int64 and federation.has_tokens
    assert len({word for word in federation.vocabulary if word.startswith("number")}) == len(train)
    assert {"good", "bad", "day"} <= set(federation.vocabulary)


def test_a_folder_of_the_library_with_a_test_split_is_read(tmp_path: Path) -> None:
    parts = {
        name: datasets.Dataset.from_dict({"text": TEXTS[:n], "label": [0, 1] * (n // 2)})
        for name, n in (("train", 8), ("test", 4))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "folder"))
    arrays = HubText("folder", length=2).read(tmp_path)
    assert arrays.facts.num_test == 4 and arrays.features.shape == (12, 2) and arrays.facts.agreed_words == 2000


def test_codes_of_a_tokenizer_stay_apart_and_its_padding_is_ours(tmp_path: Path) -> None:
    path = saved(tmp_path, {"input_ids": [[101, 7, 0, 0], [101, 9, 8, 300], [5]], "label": [0, 1, 0]})
    arrays = HubText(str(path), feature="input_ids", words=200, length=3).read(tmp_path)
    assert arrays.features.tolist() == [[103, 9, 0], [103, 11, 10], [7, 0, 0]]
    assert arrays.facts.vocabulary[:3] == (*RESERVED, "0") and arrays.facts.agreed_words is None
    other = HubText(str(path), feature="input_ids", words=200, length=4, padding=9).read(tmp_path)
    assert other.features.tolist() == [[103, 9, 2, 2], [103, 0, 10, 1], [7, 0, 0, 0]]


@pytest.mark.parametrize("values", [["a", None, "b"], [[1.5], [1.0], [2.0]], [[1, 2], [-1], [0]], [1, 2, 3]])
def test_other_columns_are_refused(tmp_path: Path, values: list[Any]) -> None:
    path = saved(tmp_path, {"text": values, "label": [0, 1, 0]})
    with pytest.raises(UserError, match="must name a column of texts, or of lists of integers from 0, got another val"):
        HubText(str(path)).read(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"), [({"words": 2}, "dataset.words must be 3"), ({"length": 0}, "dataset.length")]
)
def test_sizes_are_checked(arguments: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        HubText("x", **arguments)  # type: ignore[arg-type]
