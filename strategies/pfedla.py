"""pFedLA's server: it learns for every client and layer whose models to average.

References:
    Ma, Zhang, Guo & Xu 2022, Layer-Wised Model Aggregation for Personalized Federated Learning, CVPR
    (arXiv 2205.03993), algorithm 1.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedlayers.core.checks import check, not_negative
from fedlayers.core.layers import Layer
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Pair, Record
from fedlayers.core.seeding import numpy_generator
from fedlayers.flower.arrays import encode
from fedlayers.flower.sums import mean_of
from strategies.by_reply import metric
from strategies.cluster_models import ClusterModels, difference, node_of, weights_of

_EMBEDDING, _HIDDEN = 32, 64
# What a hypernetwork says for each layer is under this prefix and the layer's name.
_WEIGHT, _BIAS = "weight/", "bias/"

Network = dict[str, np.ndarray]


class PFedLA(ClusterModels):
    """Sends client i, for every layer l, θ̄ᵢˡ = Σ_j αᵢˡⱼ θⱼˡ of all clients' last models.

    αᵢˡ is what client i's hypernetwork puts out: p_j exp(uⱼ) / Σ_m p_m exp(u_m), with uˡ = Uˡ h + cˡ,
    h = relu(W v + b), v the client's embedding and p_j the weights of FedAvg. As U and c start as 0, it begins as
    FedAvg. When the client sends Δθᵢ, what training changed θ̄ᵢ by, every parameter φ of its hypernetwork moves along
    its loss's descent, φ ← φ + η (∂θ̄ᵢ/∂φ)ᵀ Δθᵢ, and the mean shifts to those whose models lie where it went. A
    client that has not trained yet is sent the mean of the last round. With η = 0, all clients and weights of one
    kind it sends everybody FedAvg's model, bit for bit.

    Args:
        hypernetwork_lr: η ≥ 0.
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights p_k).
    """

    facts = (Facts("aggregation_weight", "1", 0.0, 1.0, "neutral", "Ma et al. 2022, CVPR"),)

    def __init__(self, hypernetwork_lr: float, **flower: Any) -> None:
        check(not_negative(hypernetwork_lr), "algorithm.hypernetwork_lr", "0 or more (0 is FedAvg)", hypernetwork_lr)
        super().__init__(**flower)
        self.hypernetwork_lr = hypernetwork_lr
        # Layer -> the names of its arrays, in order.
        self.names: dict[str, list[str]] = {}
        # All nodes, in the order of the hypernetworks' outputs, and the seed of what these begin with.
        self.nodes: list[int] = []
        self.seed = 0
        # Node id -> its last model, what it counts for, and its hypernetwork.
        self.trained: dict[int, dict[str, np.ndarray]] = {}
        self.counts: dict[int, float] = {}
        self.networks: dict[int, Network] = {}

    def know_layers(self, layers: Sequence[Layer]) -> None:
        """Remember which arrays are of one layer."""
        self.names = {layer.name: list(layer.names) for layer in layers}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send each its own mean."""
        messages = super().configure_train(server_round, arrays, config, grid)
        if not self.nodes:
            # The loop seeds Python's generator for this round; the sample of clients is drawn already.
            self.nodes, self.seed = sorted(grid.get_node_ids()), random.getrandbits(63)
        return messages

    def assign(self, server_round: int, replies: Sequence[Message]) -> None:
        """Let the hypernetworks learn, keep the models, and take the means of the next round."""
        for reply in replies:
            node, lr = node_of(reply), self.hypernetwork_lr
            if node in self.models and lr:
                moved = difference(weights_of(reply), self.models[node])
                slopes = slopes_of(self.networks[node], self._shares(node), self._gains(moved))
                self.networks[node] = {name: own + lr * slopes[name] for name, own in self.networks[node].items()}
        for reply in replies:
            node = node_of(reply)
            self.trained[node] = {name: np.array(array) for name, array in weights_of(reply).items()}
            self.counts[node] = metric(reply, self.weighted_by_key)
            if node not in self.networks:
                generator = numpy_generator(self.seed, "hypernetwork", client=node)
                self.networks[node] = fresh(generator, list(self.names), len(self.nodes))
        self.models = {node: self._mean_for(node) for node in sorted(self.trained)}
        self.clusters = {node: node for node in self.models}

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Make the means of the next round, and return the mean of all clients with their mean training metrics."""
        valid = [reply for reply in replies if reply.has_content()]
        if not valid:
            return None, None
        self.assign(server_round, valid)
        arrays = ArrayRecord({name: encode(array) for name, array in self._mean(valid, self.current).items()})
        return arrays, self.train_metrics_aggr_fn([reply.content for reply in valid], self.weighted_by_key)

    def rows(self) -> list[Record]:
        """Return αᵢˡⱼ of each client i, layer l and client j that there is a model of."""
        return [
            Pair("aggregation_weight", float(share), layer=layer, layer_index=place, client=node - 1, other=other - 1,
                 owner="server")
            for node in self.models
            for place, (layer, shares) in enumerate(self._shares(node).items())
            for other, share in zip(self.nodes, shares, strict=True)
            if other in self.trained
        ]  # fmt: skip

    def _shares(self, node: int) -> dict[str, np.ndarray]:
        """Return α of a node by layer, shape (nodes,); 0 for those without a model."""
        counts = np.array([self.counts.get(other, 0.0) for other in self.nodes])
        weights = {layer: counts * np.exp(u - u.max()) for layer, u in logits_of(self.networks[node]).items()}
        return {layer: own / own.sum() for layer, own in weights.items()}

    def _gains(self, moved: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return ⟨θⱼˡ, Δθᵢˡ⟩ by layer, shape (nodes,): what more of each model would do for the client."""
        return {
            layer: np.array(
                [sum(float(np.vdot(self.trained[other][n], moved[n])) for n in names) if other in self.trained else 0.0
                 for other in self.nodes]
            )
            for layer, names in self.names.items()
        }  # fmt: skip

    def _mean_for(self, node: int) -> dict[str, np.ndarray]:
        """Return θ̄ of a node, summed in FedAvg's order."""
        logits, found = logits_of(self.networks[node]), dict[str, np.ndarray]()
        for layer, names in self.names.items():
            most = logits[layer].max()
            factors = {other: math.exp(u - most) for other, u in zip(self.nodes, logits[layer], strict=True)}
            terms = [
                (self.counts[other] * factors[other], {n: self.trained[other][n] for n in names})
                for other in sorted(self.trained)
            ]
            found |= {n: np.asarray(array, dtype=self.trained[node][n].dtype) for n, array in mean_of(terms).items()}
        return {name: found[name] for name in self.trained[node]}


def fresh(generator: np.random.Generator, layers: Sequence[str], clients: int) -> Network:
    """Return the parameters of a hypernetwork that has not learned: v, W and b drawn, U and c of each layer 0.

    Args:
        generator: what draws.
        layers: names of the layers.
        clients: how many there are.
    """
    drawn = {
        "v": generator.standard_normal(_EMBEDDING),
        "W": generator.standard_normal((_HIDDEN, _EMBEDDING)) / math.sqrt(_EMBEDDING),
        "b": np.zeros(_HIDDEN),
    }
    heads = {f"{_WEIGHT}{layer}": np.zeros((clients, _HIDDEN)) for layer in layers}
    return drawn | heads | {f"{_BIAS}{layer}": np.zeros(clients) for layer in layers}


def logits_of(network: Network) -> dict[str, np.ndarray]:
    """Return uˡ of each layer, shape (clients,)."""
    hidden = np.maximum(network["W"] @ network["v"] + network["b"], 0)
    layers = [name.removeprefix(_WEIGHT) for name in network if name.startswith(_WEIGHT)]
    return {layer: network[_WEIGHT + layer] @ hidden + network[_BIAS + layer] for layer in layers}


def slopes_of(network: Network, shares: Mapping[str, np.ndarray], gains: Mapping[str, np.ndarray]) -> Network:
    """Return the gradient of Σ_l Σ_j αˡⱼ gˡⱼ by the parameters of a hypernetwork.

    Args:
        network: its parameters.
        shares: layer -> α, shape (clients,).
        gains: layer -> g, shape (clients,).
    """
    before = network["W"] @ network["v"] + network["b"]
    by_logits = {layer: own * (gains[layer] - own @ gains[layer]) for layer, own in shares.items()}
    heads = {_WEIGHT + layer: np.outer(slope, np.maximum(before, 0)) for layer, slope in by_logits.items()}
    by_hidden = sum(network[_WEIGHT + layer].T @ slope for layer, slope in by_logits.items()) * (before > 0)
    biases = {_BIAS + layer: slope for layer, slope in by_logits.items()}
    inner = {"v": network["W"].T @ by_hidden, "W": np.outer(by_hidden, network["v"]), "b": by_hidden}
    return {**inner, **heads, **biases}
