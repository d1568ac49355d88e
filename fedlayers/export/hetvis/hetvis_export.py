"""A run in the files of HetVis, a folder for each client: who analyses its own records sees no other's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.checks import check_path
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.machine.disk import make_folder, whole_file
from fedlayers.export.exporter import Exporter, Written, whole_folder
from fedlayers.export.hetvis.layout import CHECKPOINTS, OUTPUTS, WEIGHTS, Layout, client_name
from fedlayers.heterogeneity.local_records import LocalRecords, local_records
from fedlayers.heterogeneity.standalone import standalone_model
from fedlayers.heterogeneity.two_models import probabilities
from fedlayers.opening.run import Run
from metrics.record_clustering.mutual_rank import mutual_rank
from metrics.trajectory.projection import update_cosines
from metrics.trajectory.sampled import ALL, sampled_parameters

# Of a layer, and of all layers together, as the original samples them.
_SAMPLED = 1000
_LOCAL = "local"


class HetVisExport(Exporter):
    """Writes ``<folder>/<run>/Client-<i>/``, each a DATA_DIR of HetVis: ``datasets``, ``history`` and ``cache``.

    Needs ``snapshots.rounds=[all]`` and ``snapshots.clients=true`` of the run, and stand-alone models
    (``python -m fedlayers.heterogeneity RUN``). Arrays are rectangular, so that nothing is pickled: of each layer as
    many parameters are sampled as the smallest has, 1,000 at most. Affinities stand under ``<client>/<input set>``.

    Args:
        folder: below which runs are written.

    References:
        Wang et al. 2022, HetVis: A visual analysis approach for identifying data heterogeneity in horizontal federated
        learning, arXiv 2208.07491; its backend's description of the layout.
    """

    def __init__(self, folder: str = "hetvis") -> None:
        check_path("export.hetvis.folder", folder)
        self.folder = Path(folder)

    def existing(self, run: Run) -> Path | None:
        """Return where this run has been written before; None if it has not."""
        place = self.folder / run.folder.name
        return place if place.exists() else None

    def write(self, run: Run) -> Written:
        """Write a run, all of it or nothing.

        Raises:
            UserError: it has been written before, or has not kept the models that this needs.
        """
        if before := self.existing(run):
            raise UserError(f"{before} exists already: delete it, or export into another folder")
        rounds = sorted(number for number, owner in run.models.itertuples(index=False) if owner == "server")
        clients = range(run.facts["clients"])
        owners = {(number, int(owner)) for number, owner in run.models.itertuples(index=False) if owner != "server"}
        lost = [(number, client) for number in rounds for client in clients if (number, client) not in owners]
        if len(rounds) < 2 or lost:
            raise UserError(
                f"{run.folder} has not kept the models of all rounds and clients, and HetVis shows their way: run it "
                "with snapshots.rounds=[all] snapshots.clients=true"
            )
        with whole_folder(self.folder / f".{run.folder.name}") as scratch:
            for client in clients:
                _ClientFiles(run, client, rounds, Layout(scratch / client_name(client), run.facts["dataset"])).write()
            scratch.rename(self.folder / run.folder.name)
        return Written(self.folder / run.folder.name)


class _ClientFiles:
    """The files of one client.

    Args:
        run: the run.
        client: its number.
        rounds: those whose models were kept.
        layout: where files go.
    """

    def __init__(self, run: Run, client: int, rounds: list[int], layout: Layout) -> None:
        self._run, self._client, self._rounds, self._layout = run, client, rounds, layout
        self._name = client_name(client)
        self._layers = {layer.name: layer.names for layer in layers_of(run.network())}
        self._records = local_records(run, client)

    def write(self) -> None:
        self._write_samples()
        self._write_models()
        self._write_weights()
        self._write_progress()
        rows = self._records.features.flatten(1)
        _save(self._layout.affinity, {f"{self._name}/{_LOCAL}": mutual_rank(rows).numpy()})

    def _write_samples(self) -> None:
        records: LocalRecords = self._records
        raw = records.raw().flatten(1).numpy()
        parts = {scope: len(part) for scope, part in records.parts.items()}
        content = {
            "client_names": np.array([self._name]), "sampling_types": np.array([_LOCAL]),
            "label_names": np.array(self._run.facts["classes"]), "shape": np.array(self._run.facts["shape"]),
            "type": np.array("image" if len(self._run.facts["shape"]) == 3 else "table"), _LOCAL: raw[None],
            "ground_truth": records.truth.numpy()[None], "train_size": np.array([parts.get("client_train", 0)]),
            "test_size": np.array([parts.get("client_test", 0)]),
        }  # fmt: skip
        _save(self._layout.samples, content)

    def _write_models(self) -> None:
        """Write checkpoints, and the classes that models predict of the client's records."""
        history, features = self._layout.history, self._records.features
        alone = standalone_model(self._run, self._client)
        models = {(self._name, f"{self._name}_Local_best", f"{self._name}_local"): alone} | {
            ("Server", f"Server_r{number}", f"{self._name}_Server_r{number}"): self._run.model(number)
            for number in self._rounds
        }
        for (owner, checkpoint, output), model in models.items():
            make_folder(history / CHECKPOINTS / owner)
            with whole_file(history / CHECKPOINTS / owner / f"{checkpoint}.cp") as file:
                torch.save(model.state_dict(), file)
            _save(history / OUTPUTS / f"{output}.npz", {_LOCAL: probabilities(model, features).argmax(1)})

    def _write_weights(self) -> None:
        folder, initial = self._layout.history / WEIGHTS, self._run.network().state_dict()
        _save(folder / "weights_0.npz", self._sampled(initial))
        before: Mapping[str, Tensor] = initial
        cosines = []
        for number in self._rounds:
            server, own = self._run.weights(number), self._run.weights(number, self._client)
            _save(folder / f"Server_r{number}.npz", self._sampled(server))
            _save(folder / f"{self._name}_r{number}.npz", self._sampled(own))
            cosines.append(update_cosines(self._rows(before), self._rows(server), self._rows(own)))
            before = server
        table = [[round_of[layer] for round_of in cosines] for layer in (*self._layers, ALL)]
        _save(folder / "cosines.npz", {self._name: np.array(table)})
        _save(self._layout.history / "model_info.npz", {"layer_names": np.array(list(self._layers))})

    def _sampled(self, weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        sizes = [sum(weights[name].numel() for name in names) for names in self._layers.values()]
        count = min(_SAMPLED, *sizes)
        found = sampled_parameters(weights, self._layers, count, self._run.config.seed)
        together = sampled_parameters(weights, self._layers, _SAMPLED, self._run.config.seed)[ALL]
        return {"layers": torch.stack([found[layer] for layer in self._layers]).numpy(), "all": together.numpy()}

    def _rows(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the parameters of each layer, and of all, in one row each."""
        rows = {layer: torch.cat([weights[name].flatten() for name in names]) for layer, names in self._layers.items()}
        return rows | {ALL: torch.cat(list(rows.values()))}

    def _write_progress(self) -> None:
        """Write loss and accuracy on the client's validation examples, and accuracy on the server's, by round."""

        def values(**wanted: object) -> np.ndarray:
            rows = self._run.records(moment="after_aggregate", columns=["round", "value"], **wanted)
            found = dict(zip(rows["round"], rows["value"], strict=True))
            return np.array([[found.get(number, np.nan) for number in self._rounds]])

        own = {"client": self._client, "scope": "client_val"}
        content = {
            "client_names": np.array([self._name]), "loss": values(metric="loss", **own),
            "val_acc": values(metric="accuracy", **own), "tot_acc": values(metric="accuracy", scope="server_test"),
        }  # fmt: skip
        _save(self._layout.history / "validation.npz", content)


def _save(path: Path, content: Mapping[str, np.ndarray]) -> None:
    make_folder(path.parent)
    with whole_file(path) as file:
        np.savez_compressed(file, **content)  # type: ignore[arg-type]
