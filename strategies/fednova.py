"""FedNova's server: clients that take more steps do not count for more.

References:
    Wang, Liu, Liang, Joshi & Poor 2020, Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization, NeurIPS (arXiv 2007.07481), equation 7.
"""

from collections.abc import Sequence

import numpy as np
from flwr.app import Message, MetricRecord

from fedlayers.flower.adapter import records_of
from strategies.by_reply import ByReply, metric


class FedNova(ByReply):
    """w ← w + τ Σ p_k Δ_k / a_k, τ = Σ p_k a_k: the mean of normalised updates, as long as updates are on average.

    Δ_k = w_k − w is the update of client k and a_k how far its training goes along one gradient: its steps times the
    learning rate, with plain SGD. That is FedAvg with shares q_k ∝ p_k / a_k and the server learning
    rate τ Σ p_k / a_k; where all a_k are equal it is FedAvg, bit for bit.

    Args:
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    def look(self, replies: Sequence[Message]) -> str:
        """Weigh replies by p_k / a_k, times the largest a_k, and set the server learning rate."""
        lengths, shares = np.array([metric(reply, "length") for reply in replies]), self.shares(replies)
        ratios = lengths.max() / lengths
        for reply, ratio in zip(replies, ratios, strict=True):
            found = records_of(reply.content, MetricRecord)["metrics"]
            found["normalised"] = metric(reply, self.weighted_by_key) * ratio
        same = bool((ratios == 1).all())
        self.server_lr = 1.0 if same else float((shares @ lengths) * (shares @ (1 / lengths)))
        return "normalised"
