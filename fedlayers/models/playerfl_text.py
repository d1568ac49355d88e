"""PLayer-FL's network for texts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.checks import check
from fedlayers.core.kinds.tokens import PADDING
from fedlayers.models.kaiming import kaiming_normal
from fedlayers.models.text import no_tokens


class PLayerFLText(nn.Module):
    """Words and places, attention with one head, a wide layer and back, each with its residual, and the first position.

    With x = E[token] + P[place], x' = x + attention(x, x, x) and x'' = x' + W₂ relu(W₁ x'), W₁ four times as wide: the
    logits are a linear function of x'' at the first position, where the paper has the class token of BERT's word
    pieces, and this program the first word. Padding is not attended to. Layers: ``tokens``, ``places``, ``attention``,
    ``attention.out_proj``, ``fc1``, ``resid``, ``fc2``. The paper begins with the embedding of BERT (messages) or
    ClinicalBERT (notes), this one with a random embedding.

    Args:
        input_shape: one example's shape, (length,).
        num_tokens: the size of the vocabulary, padding and unknown words included.
        num_classes: the number of outputs, one logit each.
        width: of the embedding, 1 or more.

    Raises:
        UserError: examples are no tokens, or the width is too small.

    References:
        Elhussein and Gürsoy 2025, PLayer-FL, arXiv:2502.08829.
    """

    def __init__(
        self, input_shape: Sequence[int], num_classes: int, num_tokens: int | None = None, width: int = 768
    ) -> None:
        super().__init__()
        if num_tokens is None:
            raise no_tokens("playerfl_text", input_shape)
        check(width >= 1, "model.width", "1 or more", width)
        self.tokens = nn.Embedding(num_tokens, width, padding_idx=PADDING)
        self.places = nn.Embedding(input_shape[0], width)
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.fc1 = nn.Linear(width, 4 * width)
        self.resid = nn.Linear(4 * width, width)
        self.fc2 = nn.Linear(width, num_classes)
        kaiming_normal(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (n, classes) of tokens (n, length)."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        x = self.tokens(tokens) + self.places(places)
        x = x + self.attention(x, x, x, key_padding_mask=tokens == PADDING, need_weights=False)[0]
        x = x + self.resid(self.fc1(x).relu())
        logits: Tensor = self.fc2(x[:, 0])
        return logits
