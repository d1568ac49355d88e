"""Callbacks for Lightning and Hugging Face's trainer, with the libraries themselves where they are installed."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fedlayers
from metrics import MetricsManager
from metrics.manager.hugging_face import counting, hugging_face_callback
from metrics.manager.lightning import lightning_callback, logits_and_labels
from metrics.tracking import drawing
from metrics.training_dynamics import AttentionVisualizer


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "save", lambda figure, path: path)


def installed(name: str) -> Any:
    """Return a library, or skip the test; in CI, which installs it, it must be there."""
    return __import__(name) if os.environ.get("FEDLAYERS_CI") else pytest.importorskip(name)


def fitted(folder: Path, seed: int = 0, **settings: Any) -> MetricsManager:
    """Return what followed two epochs of a small module in Lightning, which ``settings`` tell how to train."""
    lightning = installed("pytorch_lightning")
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long()), batch_size=10)

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return {"logits": self.net(batch[0]), "labels": batch[1]}

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    module = Module()
    manager = MetricsManager(module, save_dir=folder / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[lightning_callback(manager)], default_root_dir=folder, **settings,
        ).fit(module, data, data)  # fmt: skip
    return manager


@pytest.mark.slow
def test_lightning_is_tracked(tmp_path: Path) -> None:
    manager = fitted(tmp_path)
    assert manager.all_problems == []
    tables = fedlayers.read(tmp_path / "out")
    support = tables.records[tables.records["metric"] == "class_recall"].groupby("round", observed=True)["n"].sum()
    assert support.to_dict() == {1: 40, 2: 40}
    assert manager.gradients is not None and manager.gradients.history[2]["net.0"].norm.n == 4
    (_, last) = manager.resources.epochs
    assert {"step", "step/backward_pass", "validation"} <= set(last.components)
    assert (last.num_samples, last.batch_size, last.components["step"].calls) == (40, 10, 4)


@pytest.mark.slow
def test_what_lightning_scales_the_loss_by_is_not_in_the_norms(tmp_path: Path) -> None:
    installed("pytorch_lightning")
    from pytorch_lightning.plugins import MixedPrecision

    # Half precision as on a card, on the CPU: the factor is Lightning's, which nobody tells the manager.
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled = fitted(tmp_path / "scaled", plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)]).gradients
    plain = fitted(tmp_path / "plain").gradients
    assert scaler.get_scale() == 1024.0 and scaled is not None and plain is not None
    for epoch in (1, 2):
        for layer in ("net.0", "net.2"):
            found, expected = (one.history[epoch][layer].norm for one in (scaled, plain))
            assert found.n == 4 and found.mean == pytest.approx(expected.mean, rel=0.02)


def tiny_bert(transformers: Any, **settings: Any) -> Any:
    config = transformers.BertConfig(
        initializer_range=0.5, vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, num_labels=2, **settings,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(config)


@pytest.mark.slow
def test_hugging_faces_trainer_is_tracked(tmp_path: Path) -> None:
    transformers = installed("transformers")
    installed("accelerate")
    tokens = torch.randint(1, 20, (24, 5), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "attention_mask": torch.ones(5).long(), "labels": int(row[0] > 9)} for row in tokens]
    model = tiny_bert(transformers)
    manager = MetricsManager(model, save_dir=tmp_path / "out")
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "trainer"), num_train_epochs=2, per_device_train_batch_size=8, eval_strategy="epoch",
        report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.Trainer(
            model, arguments, train_dataset=data, eval_dataset=data, compute_metrics=counting(manager),
            callbacks=[hugging_face_callback(manager)],
        ).train()  # fmt: skip
    assert manager.all_problems == []
    tables = fedlayers.read(tmp_path / "out")
    support = tables.records[tables.records["metric"] == "class_recall"].groupby("round", observed=True)["n"].sum()
    assert support.to_dict() == {1: 24, 2: 24}
    assert manager.attention is not None and list(manager.attention.history) == [1, 2]
    assert manager.resources.epochs[1].num_samples == 24 and "validation" in manager.resources.epochs[1].components


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_of_hugging_face_models_is_what_they_give_when_asked(implementation: str, tmp_path: Path) -> None:
    transformers = installed("transformers")
    model = tiny_bert(transformers, attn_implementation=implementation).eval()
    tokens = torch.randint(1, 20, (3, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 6])
    visualizer = AttentionVisualizer(model, tmp_path / "dynamics")
    with torch.no_grad(), visualizer.hooks():
        plain = model(input_ids=tokens, attention_mask=mask).logits
    visualizer.update(1)
    assert model.config._attn_implementation == implementation
    eager = tiny_bert(transformers, attn_implementation="eager").eval()
    with torch.no_grad():
        asked = eager(input_ids=tokens, attention_mask=mask, output_attentions=True)
        assert torch.allclose(plain, asked.logits, atol=1e-5)
    assert list(visualizer.history[1]) == ["attentions.0", "attentions.1"]
    for name, expected in zip(visualizer.history[1], asked.attentions, strict=True):
        assert visualizer.history[1][name].maps == pytest.approx(expected[0].numpy(), abs=1e-6)
        assert visualizer.history[1][name].example[1, 4:].isnan().all()


def test_without_the_libraries_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    manager = MetricsManager(save_dir=tmp_path / "out")
    with pytest.raises(ImportError, match="lightning_callback needs Lightning: pip install pytorch-lightning"):
        lightning_callback(manager)
    with pytest.raises(
        ImportError, match="hugging_face_callback needs transformers: pip install transformers accelerate"
    ):
        hugging_face_callback(manager)
    assert logits_and_labels({"loss": 1}, None) is None
