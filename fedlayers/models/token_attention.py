"""A small network for token data: embedding, one block of attention, mean over the tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.checks import check
from fedlayers.core.kinds.tokens import PADDING, masked_mean
from fedlayers.models.text import no_tokens


class TokenAttention(nn.Module):
    """Words and their places, self-attention among them, and a classifier of the mean over an example's words.

    With x = E[token] + P[place], x' = x + attention(x, x, x), x'' = x' + W₂ relu(W₁ norm(x')): the logits are a linear
    function of the mean of x'' over the tokens that are no padding. Padding neither attends nor is attended to.
    ``attention`` is torch's own, so that whoever looks for attention maps finds them there.

    Args:
        input_shape: one example's shape, (length,).
        num_tokens: the size of the vocabulary, padding and unknown words included.
        num_classes: the number of outputs, one logit each.
        width: of the embedding, a multiple of ``heads``.
        heads: of the attention.
        dropout: share of the embedding's and of the hidden units set to 0 while training, in [0, 1).

    Raises:
        UserError: examples are no tokens, or the widths do not fit.

    References:
        Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_tokens: int | None = None,
        width: int = 32,
        heads: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_tokens is None:
            raise no_tokens("token_attention", input_shape)
        check(
            heads >= 1 and width % heads == 0 and width > 0, "model.width", f"a multiple of model.heads={heads}", width
        )
        check(0 <= dropout < 1, "model.dropout", "in [0, 1)", dropout)
        self.tokens = nn.Embedding(num_tokens, width, padding_idx=PADDING)
        self.places = nn.Embedding(input_shape[0], width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (n, classes) of tokens (n, length)."""
        mask = tokens != PADDING
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        x = self.dropout(self.tokens(tokens) + self.places(places))
        x = x + self.attention(x, x, x, key_padding_mask=~mask, need_weights=False)[0]
        x = x + self.fc2(self.dropout(self.fc1(self.norm(x)).relu()))
        logits: Tensor = self.head(masked_mean(x, mask))
        return logits
