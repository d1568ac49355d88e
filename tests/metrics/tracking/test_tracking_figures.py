"""Every figure of the trackers is drawn with labels that can be read, from a real training."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from metrics import MetricsManager
from metrics.resource_usage.batch_sweep import BatchMemory
from metrics.tracking import drawing
from tests.support.tracked_training import GROUPS, HMT_INFO, TwoHeads, answers, step

EXPECTED = {
    "crop_class_distribution": ("training examples", "crop: class distribution"),
    "crop_scores_by_class_type": ("F1", "average precision", "with examples: head 2 of 2, medium 1 of 1, tail 1 of 2"),
    "crop_pr_curves": ("recall", "precision", "tail: mean AP"),
    "gradient_flow": ("epoch", "‖gradient‖, mean over steps", "encoder.layers.0.linear1"),
    "gradient_correlation": ("layer, in the model's order", "root mean square"),
    "update_ratio": ("‖update‖ / ‖weights‖ of a step",),
    "weight_distribution": ("before training", "epoch 1", "epoch 2", "density"),
    "weight_norm_changes": ("‖weights‖",),
    "attention_map_e2_encoder.layers.0.self_attn": ("query", "key", "attention weight"),
    "attention_heads_e2_encoder.layers.0.self_attn": ("head 0", "head 1"),
    "attention_evolution_encoder.layers.0.self_attn": ("epoch 1", "epoch 2"),
    "attention_statistics": ("row entropy (nat)", "effective span (places)", "mean distance (places)"),
    "attention_rollout_e2": ("input place", "output place"),
    "memory_usage": ("memory (MB)", "host, peak"),
    "component_times": ("seconds", "forward", "other"),
    "component_pie_chart": ("forward:", "Share of time, 2 epochs"),
    "throughput": ("examples / second",),
    "memory_vs_batch_size": ("batch size", "peak memory (MB)", "16: above the limit"),
    "forward_flops": ("crop", "part", "Operations of each layer"),
}


def texts(figure: Figure) -> str:
    """Return every text of a figure."""
    found = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]  # type: ignore[attr-defined]
    return "\n".join(found)


@pytest.mark.slow
def test_every_figure_of_the_seed_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, str] = {}
    save = drawing.save

    def kept(figure: Any, path: Path) -> Path:
        drawn[path.stem] = texts(figure)
        # Laying out takes longest: every sixth of them.
        return save(figure, path) if len(drawn) % 6 == 0 else path

    monkeypatch.setattr(drawing, "save", kept)
    model = TwoHeads()
    with MetricsManager(model, list(GROUPS), GROUPS, hmt_info=HMT_INFO, save_dir=tmp_path / "out") as manager:
        for epoch in (1, 2):
            with manager.epoch(epoch, 48, 48):
                for _ in range(2):
                    with manager.component("forward"):
                        step(model)
                manager.class_performance.update(*answers(model))
        sizes = [BatchMemory(size, 10**7 * (5 + size)) for size in (1, 2, 4, 8)]
        manager.resources.add_sweep([*sizes, BatchMemory(16, None, "above the limit")])
    assert manager.all_problems == []
    for name, words in EXPECTED.items():
        assert [word for word in words if word not in drawn[name]] == [], name
    assert len(list((tmp_path / "out").rglob("*.png"))) == len(drawn) // 6
    assert all(path.stat().st_size > 5000 for path in (tmp_path / "out").rglob("*.png"))
