"""What networks for token data have in common."""

from collections.abc import Sequence

from fedlayers.core.errors import UserError


def no_tokens(network: str, input_shape: Sequence[int]) -> UserError:
    """Return the error of a network that was given a data set without tokens."""
    return UserError(
        f"model={network} must have a data set of tokens, such as sms, got examples of shape {tuple(input_shape)}; "
        "choose another model or data set"
    )
