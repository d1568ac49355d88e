"""How alike the layers of clients, rounds and the global model are in what they compute on the probe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.records import Pair, Row, missing
from fedlayers.core.seeding import derive
from metrics.base import ClientView, Facts, Measurement, Metric, ServerView, at
from metrics.compare.base import Compared, Comparison
from metrics.compare.products.gram_sketch import gram_sketch
from metrics.probe.activations import probe_remark
from metrics.probe.payload import (
    compact_outputs,
    examples_behind,
    global_outputs,
    packed,
    sent_outputs,
    shared_outputs,
    too_large,
    unpacked,
    why_absent,
    without_output,
)
from metrics.probe.positions import check_positions

RELATIONS = ("clients", "layers", "rounds", "received", "aggregated")
SEND = ("auto", "activations", "sketch")


@dataclass(frozen=True)
class _Item:
    """One representation on the server: whose, of which round and layer; sketched or whole."""

    owner: int | str
    round: int
    layer: Layer
    values: Tensor

    @property
    def sketched(self) -> bool:
        return self.values.ndim == 1


class Similarity(Metric):
    """Compares representations of the probe: what each layer's module puts out, before the activation function.

    Client half: the layers' outputs on the probe, centred, with at most as many units as examples (exact), shared with
    distances. With ``send=sketch``, and by itself for the largest layers if the payload limit would be broken, a layer
    sends a sketch of ``sketch_numbers`` numbers instead, from which CKA can be estimated (its error is the standard
    error) and nothing else.

    Server half: a row in ``pairs/`` for every measure, layer and pair; ``subject`` names the relation:

    - ``clients``: client and other client, same layer;
    - ``layers``: one client, layer and another layer;
    - ``rounds``: one client and layer, this round and the first that was measured, and the last one before;
    - ``received``: a client and the model that it was sent, ``other`` null;
    - ``aggregated``: a client and what aggregation made for it (at ``after_local`` only), ``other`` null: the global
      model, or its cluster's. Without any whole model of the server both are missing.

    ``variant`` holds estimator and positions, ``n`` the number of probe examples, ``chance``, ``chance_hi`` and ``p``
    what chance alone produces (see :class:`metrics.compare.base.Compared`).

    Args:
        measures: name -> comparison; a name of None is left out.
        positions: what becomes of pixels and sequence steps: ``pooled``, ``flattened`` or ``samples``, see
            :func:`metrics.probe.activations.layer_outputs`.
        relations: which pairs.
        permutations: random permutations behind a null band that has no closed form, 0 or more.
        send: ``auto``, ``activations`` or ``sketch``.
        sketch_numbers: numbers a layer in a sketch, 16 or more.
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    uses_probe = True

    def __init__(
        self,
        measures: Mapping[str, Comparison | None],
        positions: str = "pooled",
        relations: Sequence[str] = RELATIONS,
        permutations: int = 20,
        send: str = "auto",
        sketch_numbers: int = 1024,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        self.measures = {name: measure for name, measure in measures.items() if measure is not None}
        for name, measure in self.measures.items():
            if not isinstance(measure, Comparison):
                raise ValueError(f"similarity.{name} must be a metrics.compare.base.Comparison, got {measure!r}")
        if not self.measures:
            raise ValueError("measures must name one comparison or more; choose with similarity=[cka]")
        self.positions = check_positions(positions)
        if not relations:
            raise ValueError(f"relations must hold one or more of {', '.join(RELATIONS)}, got []")
        for relation in relations:
            if relation not in RELATIONS:
                raise ValueError(f"relations must be some of {', '.join(RELATIONS)}, got {relation!r}")
        if send not in SEND:
            raise ValueError(f"send must be one of {', '.join(SEND)}, got {send!r}")
        for name, value, least in (("permutations", permutations, 0), ("sketch_numbers", sketch_numbers, 16)):
            if value < least:
                raise ValueError(f"{name} must be {least} or more, got {value!r}")
        self.relations, self.permutations = tuple(relations), permutations
        self.send, self.sketch_numbers = send, sketch_numbers
        self.facts: tuple[Facts, ...] = tuple(fact for measure in self.measures.values() for fact in measure.facts)
        self.common = frozenset(fact.name for fact in self.facts)

    def remarks(self, view: ClientView) -> list[str]:
        """Say where the probe is small for a layer's width."""
        return probe_remark(view, self.positions, self.measures)

    def client(self, view: ClientView) -> Measurement:
        """Return the representations, and missing values for layers that have none."""
        rows = without_output(view, self.positions, [fact.name for fact in self.facts])
        outputs = compact_outputs(view, self.positions)
        whole = {} if self.send == "sketch" else shared_outputs(view, self.positions)
        chosen = too_large(outputs, view.payload_limit_bytes) if whole else set(outputs)
        own = {
            name: outputs[name] if self.send == "activations" else self._sketch(outputs[name])
            for name in outputs
            if name in chosen
        }
        count = 0 if view.probe is None else len(view.probe)
        return Measurement(rows, packed(own, count) if own else {}, shared=whole)

    def server(self, view: ServerView) -> Measurement:
        """Return a row for every measure, relation, layer and pair."""
        received = self._received(view)
        items = self._items(view, received)
        relations = {name: self._pairs(name, items, view) for name in self.relations}
        groups: dict[bool, list[tuple[str, int, int]]] = {False: [], True: []}
        for relation, pairs in relations.items():
            for a, b in pairs:
                groups[items[a].sketched or items[b].sketched].append((relation, a, b))
        rows: list[Row] = self._without_global_model(view.why_no_model) if view.why_no_model else []
        for sketched, named in groups.items():
            if named:
                rows += self._compare(items, named, sketched, view)
        kept = {
            f"{client}/{name}": array
            for client, outputs in received.items()
            for name, array in packed(outputs, examples_behind(view, self.positions)).items()
        }
        return Measurement(rows, kept=kept if "rounds" in self.relations else {})

    def _of_server(self) -> list[str]:
        return [relation for relation in ("received", "aggregated") if relation in self.relations]

    def _without_global_model(self, why: str) -> list[Row]:
        address = {"scope": "probe", "owner": "server"}
        pairs = [(fact.name, relation) for fact in self.facts for relation in self._of_server()]
        return [missing(name, why, subject=relation, **address) for name, relation in pairs]

    def _sketch(self, values: Tensor) -> Tensor:
        # The same random vectors for all clients, rounds and runs: only then do sketches fit together.
        return values if values.ndim == 1 else gram_sketch(values, self.sketch_numbers, seed=0)

    def _received(self, view: ServerView) -> dict[int, dict[str, Tensor]]:
        """Return client -> layer -> its output or a sketch of it, in the order of the layers."""
        shared = {} if self.send == "sketch" else sent_outputs(view, self.positions)
        found: dict[int, dict[str, Tensor]] = {}
        for client in sorted({*shared, *view.payloads}):
            whole = {name: x for name, x in shared.get(client, {}).items() if why_absent(x) is None}
            every = whole | unpacked(view.payloads.get(client, {}), view.layers)
            found[client] = {layer.name: every[layer.name] for layer in view.layers if layer.name in every}
        return found

    def _items(self, view: ServerView, received: Mapping[int, Mapping[str, Tensor]]) -> list[_Item]:
        """Return everything that takes part: this round's clients, the global models, earlier rounds' clients."""
        items = _items_of(received, view.round, view.layers)
        for name in [name for relation in self._of_server() for name in view.names_given(relation)]:
            found = global_outputs(view, name, self.positions)
            layers = [layer for layer in view.layers if layer.name in found]
            items += [_Item(name, view.round, layer, found[layer.name]) for layer in layers]
        if "rounds" in self.relations:
            for earlier, arrays in view.earlier().items():
                sent: dict[int, dict[str, np.ndarray]] = {}
                for key, array in arrays.items():
                    client, _, name = key.partition("/")
                    sent.setdefault(int(client), {})[name] = array
                outputs = {client: unpacked(sent[client], view.layers) for client in sorted(sent)}
                items += _items_of(outputs, earlier, view.layers)
        return items

    def _pairs(self, relation: str, items: Sequence[_Item], view: ServerView) -> list[tuple[int, int]]:
        """Return the places of the two sides of every pair of a relation; the first is a client of this round."""
        place = {(item.owner, item.round, item.layer.name): index for index, item in enumerate(items)}
        now = [item for item in items if item.round == view.round and isinstance(item.owner, int)]
        mine = [(item.owner, item.layer.name, place[item.owner, item.round, item.layer.name]) for item in now]
        if relation in ("clients", "layers"):
            same, differs = (1, 0) if relation == "clients" else (0, 1)
            return [(a[2], b[2]) for a, b in combinations(mine, 2) if a[same] == b[same] and a[differs] != b[differs]]
        others = sorted({item.round for item in items} - {view.round}) if relation == "rounds" else [view.round]
        pairs = []
        for owner, name, index in mine:
            side = view.given_to(relation, owner) if relation != "rounds" and isinstance(owner, int) else owner
            keys = [(side, other, name) for other in others]
            pairs += [(index, place[key]) for key in keys if key in place]
        return pairs

    def _compare(
        self, items: Sequence[_Item], named: Sequence[tuple[str, int, int]], sketched: bool, view: ServerView
    ) -> list[Row]:
        """Return the rows of pairs that are compared either from sketches or from whole representations."""
        used = sorted({place for _, a, b in named for place in (a, b)})
        place_of = {place: index for index, place in enumerate(used)}
        pairs = [(place_of[a], place_of[b]) for _, a, b in named]
        values = [self._sketch(items[place].values) if sketched else items[place].values for place in used]
        n = examples_behind(view, self.positions)
        rows: list[Row] = []
        for measure in self.measures.values():
            if sketched:
                found = measure.compare_sketches(values, pairs) or _needs_activations(measure, len(pairs))
            else:
                found = measure.compare(values, pairs, self.permutations, derive(view.seed, "permutations"))
            for compared in found:
                variant = ", ".join(part for part in (compared.variant, self.positions) if part)
                rows += [
                    _row(compared, index, relation, items[a], items[b], variant, n)
                    for index, (relation, a, b) in enumerate(named)
                ]
        return rows


def _items_of(received: Mapping[int, Mapping[str, Tensor]], server_round: int, layers: Sequence[Layer]) -> list[_Item]:
    named = {layer.name: layer for layer in layers}
    return [
        _Item(client, server_round, named[name], values)
        for client, outputs in received.items()
        for name, values in outputs.items()
    ]


def _needs_activations(measure: Comparison, pairs: int) -> list[Compared]:
    reason = "needs whole activations, sketches were sent; lower probe.size or raise metrics.payload_mb"
    nothing = np.full(pairs, math.nan)
    return [Compared(fact.name, "", nothing, reasons=dict.fromkeys(range(pairs), reason)) for fact in measure.facts]


def _row(compared: Compared, index: int, relation: str, own: _Item, other: _Item, variant: str, n: int) -> Pair:
    """Return one pair's row; a value that is not there is missing with its reason."""
    value = float(compared.value[index])
    known = math.isfinite(value)

    def column(values: np.ndarray | None) -> float | None:
        return None if values is None or not known or not math.isfinite(values[index]) else float(values[index])

    assert isinstance(own.owner, int)
    return Pair(
        compared.metric,
        value if known else math.nan,
        subject=relation,
        variant=variant,
        scope="probe",
        stderr=column(compared.stderr),
        n=n,
        chance=column(compared.chance),
        chance_hi=column(compared.chance_hi),
        p=column(compared.p),
        status="ok" if known else "missing",
        reason=compared.error_reasons.get(index) if known else compared.reasons.get(index, "the value is not finite"),
        owner="client",
        client=own.owner,
        other=other.owner if isinstance(other.owner, int) else None,
        other_round=other.round,
        other_layer=other.layer.name,
        **at(own.layer),
    )
