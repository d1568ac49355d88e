"""A small model of two label groups with attention, and training that knows nothing of trackers."""

from typing import Any

import torch
from torch import Tensor, nn

# Several labels an example in the first group, one in the second.
GROUPS = {"crop": {"wheat": 0, "maize": 1, "rice": 2, "oats": 3, "rye": 4}, "part": {"leaf": 0, "stem": 1, "root": 2}}
HMT_INFO: dict[str, Any] = {
    "crop": {
        "head": {"wheat": 600, "maize": 400},
        "medium": {"rice": 90},
        "tail": {"oats": 10, "rye": 2},
        "thresholds": {"p33": 50, "p67": 300},
    },
    "part": {"head": {"leaf": 900}, "medium": {"stem": 100}, "tail": {"root": 19}},
}


class TwoHeads(nn.Module):
    """Two transformer layers under a head for each group."""

    def __init__(self) -> None:
        super().__init__()
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(3)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.crop, self.part = nn.Linear(8, 5), nn.Linear(8, 3)
        torch.random.set_rng_state(generator_state)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        hidden = self.encoder(tokens).mean(1)
        return {"crop": self.crop(hidden), "part": self.part(hidden)}


def examples(number: int = 48, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """Return inputs (n, 4, 8) and labels; nobody has the last crop."""
    generator = torch.Generator().manual_seed(seed)
    chances = torch.tensor([0.6, 0.5, 0.3, 0.2, 0.0])
    crop = (torch.rand(number, 5, generator=generator) < chances).float()
    part = torch.randint(3, (number,), generator=generator)
    return torch.randn(number, 4, 8, generator=generator), {"crop": crop, "part": part}


def answers(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what the model answers in a validation, and the labels."""
    inputs, labels = examples(seed=1)
    with torch.no_grad():
        return model(inputs), labels


def step(model: nn.Module, scale: float = 1.0, lr: float = 0.05) -> None:
    """Train one step."""
    inputs, labels = examples()
    outputs = model(inputs)
    loss = nn.functional.binary_cross_entropy_with_logits(outputs["crop"], labels["crop"])
    loss = loss + nn.functional.cross_entropy(outputs["part"], labels["part"])
    model.zero_grad()
    (scale * loss).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.grad is not None:
                tensor.sub_(lr * tensor.grad)
