"""The models that clients train alone, from another run, as a metric sees them."""

import copy
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from metrics.base import ClientView
from metrics.predictions.predicting import evaluate_model


class StandAloneModels(Protocol):
    """The clients' own models of a run of ``algorithm=local``."""

    def weights(self, client: int) -> Mapping[str, Tensor]:
        """Return the parameters and buffers of a client's model, by name.

        Raises:
            ValueError: the run has kept none of this client.
        """
        ...


def stand_alone_model(view: ClientView, models: StandAloneModels) -> nn.Module:
    """Return the model that a client trained alone, in eval mode on the view's device.

    Args:
        view: of the client.
        models: where its model is.

    Raises:
        ValueError: there is no such model, or it is of another network.
    """
    if view.client is None:
        raise ValueError("a stand-alone model is a client's, and the server has none")
    module = copy.deepcopy(view.module)
    try:
        module.load_state_dict(dict(models.weights(view.client)))
    except RuntimeError as error:
        raise ValueError(
            f"the stand-alone model is of another network: {str(error).splitlines()[-1].strip()}"
        ) from None
    return module


def class_probabilities(view: ClientView, module: nn.Module, scope: str) -> Tensor:
    """Return the class probabilities that a model gives a client's examples.

    Args:
        view: of the client.
        module: of the view's network.
        scope: of its examples.

    Returns:
        Shape (n, C), float64, on the CPU.
    """
    found = evaluate_model(module, view.data[scope], len(view.classes), view.batch_size, view.device)
    return torch.softmax(found.logits.double(), 1).cpu()
