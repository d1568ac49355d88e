"""Planted groups: who is in which, what is changed where, and that nothing changes without them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlayers import read
from fedlayers.config.schema.examples import Plant
from fedlayers.config.schema.settings import Probe
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples
from fedlayers.data import Federation, load_federation
from fedlayers.data.partitioning.plant import planting, refuse_permuted_label_sets
from fedlayers.data.probe import probe_examples
from fedlayers.runs.partition_table import with_zeros
from tests.support.data_configs import config, write_heart

Run = Callable[..., Path]
ROTATED = Plant("rotation", 4)
PERMUTED = Plant("permuted_labels", 3)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path_factory.getbasetemp() / "plant_cache"))


@pytest.fixture(scope="module")
def federations(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Federation]:
    """Return the same federation of digits by kind of planted groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAYERS_CACHE", str(tmp_path_factory.getbasetemp() / "plant_cache"))
        return {plant.kind: load_federation(config(plant=plant)) for plant in (Plant(), ROTATED, PERMUTED)}


def batch(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    features, labels = examples.batch(torch.arange(len(examples)))
    return features.numpy(), labels.numpy()


def every_part(federation: Federation) -> list[tuple[int, Examples]]:
    return [(client, examples) for parts in federation.splits.values() for client, examples in enumerate(parts)]


def test_nothing_is_planted_by_default(federations: dict[str | None, Federation]) -> None:
    plain = federations[None]
    assert plain.planted is None
    assert all(examples.planted is None for _, examples in every_part(plain))
    assert "planted_group" not in plain.label_counts()


@pytest.mark.parametrize("kind", ["rotation", "permuted_labels"])
def test_clients_are_dealt_out_to_groups_of_equal_size(federations: dict[str | None, Federation], kind: str) -> None:
    planted = federations[kind].planted
    assert planted is not None
    sizes = np.bincount(planted)
    assert len(planted) == 10 and sizes.max() - sizes.min() <= 1
    assert planted != tuple(np.arange(10) % len(sizes)), "not in the order in which partitions deal out labels"
    assert load_federation(config(plant=Plant(kind, len(sizes)))).planted == planted
    assert load_federation(config(plant=Plant(kind, len(sizes)), seed=1)).planted != planted


def test_all_images_of_a_group_are_turned_by_its_angle(federations: dict[str | None, Federation]) -> None:
    turned = federations["rotation"]
    assert turned.planted is not None
    for (client, before), (_, after) in zip(every_part(federations[None]), every_part(turned), strict=True):
        (upright, labels), (found, same) = batch(before), batch(after)
        # With the rows downwards, numpy turns counter-clockwise, too.
        np.testing.assert_array_equal(found, np.rot90(upright, turned.planted[client], axes=(2, 3)))
        np.testing.assert_array_equal(same, labels)


def test_two_groups_are_upside_down() -> None:
    planted = planting(Plant("rotation", 2), 2, (1, 2, 3), 10, seed=0)
    assert planted is not None
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    upside_down = planted.of([planted.groups.index(1)], [1]).turned(image.clone())
    assert upside_down.flatten().tolist() == [5, 4, 3, 2, 1, 0]
    assert torch.equal(planted.of([planted.groups.index(0)], [1]).turned(image.clone()), image)


def test_labels_of_a_group_are_permuted_alike_in_all_splits(federations: dict[str | None, Federation]) -> None:
    permuted = federations["permuted_labels"]
    assert permuted.planted is not None
    seen: dict[int, dict[int, int]] = {0: {label: label for label in range(10)}}
    for (client, before), (_, after) in zip(every_part(federations[None]), every_part(permuted), strict=True):
        (features, labels), (same, found) = batch(before), batch(after)
        np.testing.assert_array_equal(same, features)
        np.testing.assert_array_equal(after.targets().numpy(), found)
        of_group = seen.setdefault(permuted.planted[client], {})
        for old, new in zip(labels.tolist(), found.tolist(), strict=True):
            assert of_group.setdefault(old, new) == new
    assert all(sorted(mapping.values()) == list(range(10)) for mapping in seen.values())
    assert len({tuple(mapping[label] for label in range(10)) for mapping in seen.values()}) == 3


def test_single_clients_are_changed_as_told_and_no_others(federations: dict[str | None, Federation]) -> None:
    plant = Plant(rotated=[[2, 90], [7, 270]], relabelled=[[5, 4, 6], [7, 4, 6], [8, 0, 1, 2]])
    changed = load_federation(config(plant=plant))
    assert changed.planted == (0, 0, 1, 0, 0, 2, 0, 3, 4, 0)
    circles = {5: {4: 6, 6: 4}, 7: {4: 6, 6: 4}, 8: {0: 1, 1: 2, 2: 0}}
    for (client, before), (_, after) in zip(every_part(federations[None]), every_part(changed), strict=True):
        (upright, labels), (found, told) = batch(before), batch(after)
        np.testing.assert_array_equal(found, np.rot90(upright, {2: 1, 7: 3}.get(client, 0), axes=(2, 3)))
        assert told.tolist() == [circles.get(client, {}).get(label, label) for label in labels.tolist()]


def test_clients_with_the_same_change_are_one_group() -> None:
    planted = planting(Plant(relabelled=[[1, 0, 1], [3, 1, 0]]), 4, (5,), 3, seed=0)
    assert planted is not None and planted.groups == (0, 1, 0, 1)


@pytest.mark.parametrize(("plant", "sentence"), [
    (Plant(rotated=[[10, 90]]), r"plant.rotated must be of clients in 0 … 9, got \[10\]"),
    (Plant(relabelled=[[-1, 0, 1]]), r"plant.relabelled must be of clients in 0 … 9, got \[-1\]"),
    (Plant(relabelled=[[1, 0, 10]]), r"plant.relabelled must be of classes in 0 … 9, got \[10\]"),
    (Plant(rotated=[[1, 90], [2, 180]]), r"plant.rotated must be \[\] unless examples are images .*square ones for 90"),
])  # fmt: skip
def test_clients_and_classes_that_are_not_there_are_refused(plant: Plant, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        planting(plant, 10, (1, 2, 3), 10, seed=0)


def test_label_sets_have_no_classes_to_exchange() -> None:
    with pytest.raises(UserError, match=r"plant.relabelled must be \[\] where several labels of an example may hold"):
        refuse_permuted_label_sets(Plant(relabelled=[[1, 0, 2]]), 2)


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"rotated": [[1, 45]]}, r"plant.rotated must be a list of \[client,degrees\], 90, .*got \[\[1, 45\]\]"),
    ({"rotated": [1, 90]}, r"plant.rotated must be a list of \[client,degrees\].*, got \[1, 90\]"),
    ({"relabelled": [[1, 2, 2]]}, r"plant.relabelled must be .* two different classes or more, .*got \[\[1, 2, 2\]\]"),
    ({"relabelled": [[1, 2, 3], [1, 4, 5]]}, r"plant.relabelled must be of different clients, got \[1, 1\]"),
    ({"rotated": [[1, 90]], "kind": "rotation"}, r"plant.kind must be null with plant.rotated or plant.relabelled"),
])  # fmt: skip
def test_malformed_changes_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Plant(**settings)


@pytest.mark.parametrize("kind", ["rotation", "permuted_labels"])
def test_pooled_examples_are_the_clients_and_the_servers_are_untouched(
    federations: dict[str | None, Federation], kind: str
) -> None:
    planted = federations[kind]
    parts = [batch(examples) for examples in planted.splits["client_train"]]
    for found, pieces in zip(batch(planted.pooled_train), zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(found, np.concatenate(pieces))
    for found, expected in zip(batch(planted.server_test), batch(federations[None].server_test), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_some_examples_in_any_order_are_changed_as_all_of_them(federations: dict[str | None, Federation]) -> None:
    pooled = federations["rotation"].pooled_train
    positions = torch.tensor([900, 3, 3, 412])
    features, labels = batch(pooled)
    for found in (pooled.batch(positions), batch(pooled.take(positions))):
        np.testing.assert_array_equal(np.asarray(found[0]), features[positions])
        np.testing.assert_array_equal(np.asarray(found[1]), labels[positions])
    assert torch.equal(pooled.take(positions).targets(), pooled.targets()[positions])


def test_a_pooled_probe_is_changed_as_the_clients_examples_are(federations: dict[str | None, Federation]) -> None:
    planted = federations["rotation"]
    probe = probe_examples(Probe("pooled", 40), planted, seed=0)
    place = {int(position): place for place, position in enumerate(planted.pooled_train.index)}
    chosen = torch.tensor([place[int(position)] for position in probe.index])
    np.testing.assert_array_equal(batch(probe)[0], planted.pooled_train.batch(chosen)[0].numpy())


def test_label_counts_are_those_after_permutation_and_name_the_group(
    federations: dict[str | None, Federation],
) -> None:
    permuted = federations["permuted_labels"]
    assert permuted.planted is not None
    counts = with_zeros(permuted.label_counts())
    for client, examples in enumerate(permuted.splits["client_train"]):
        mine = counts.query("client == @client and scope == 'client_train'")
        assert mine["examples"].tolist() == np.bincount(batch(examples)[1], minlength=10).tolist()
        assert set(mine["planted_group"]) == {permuted.planted[client]}


def test_a_run_with_planted_groups_writes_them_down_and_has_another_name(quick_run: Run, tmp_path: Path) -> None:
    plant = ["plant.kind=rotation", "plant.groups=2", "engine=local", "rounds=1", "metrics=[evaluation]"]
    run = quick_run(*plant, folder=tmp_path)
    table = read(run).partition
    assert table.groupby("client").planted_group.nunique().tolist() == [1] * 4
    assert sorted(table.groupby("client").planted_group.first()) == [0, 0, 1, 1]
    assert quick_run(*plant[2:], folder=tmp_path) != run


def test_rows_have_labels_to_permute_but_nothing_to_turn(tmp_path: Path) -> None:
    write_heart(tmp_path)
    federation = load_federation(config("Heart", "natural", plant=Plant("permuted_labels", 2), data_dir=str(tmp_path)))
    assert federation.planted is not None and sorted(federation.planted) == [0, 0, 1, 1]
    with pytest.raises(
        UserError, match=r"plant.kind must be permuted_labels unless .* these examples have shape \(10,\)"
    ):
        load_federation(config("Heart", "natural", plant=Plant("rotation", 2), data_dir=str(tmp_path)))


def test_what_cannot_be_planted_is_refused() -> None:
    with pytest.raises(UserError, match=r"plant.groups must be 2 .* or 4 .* got 3; other turns would blur"):
        planting(Plant("rotation", 3), 10, (1, 8, 8), 10, seed=0)
    with pytest.raises(UserError, match=r"square ones for 4 groups.* shape \(1, 2, 3\)"):
        planting(Plant("rotation", 4), 10, (1, 2, 3), 10, seed=0)
    with pytest.raises(UserError, match=r"plant.groups must be at most 3, the number of clients, got 4"):
        planting(ROTATED, 3, (1, 8, 8), 10, seed=0)
    with pytest.raises(
        UserError, match=r"plant.groups must be at most 2, the number of permutations of 2 labels, got 3"
    ):
        planting(PERMUTED, 10, (4,), 2, seed=0)
    with pytest.raises(
        UserError, match=r"plant.kind must be one of rotation, permuted_labels, or null for none, got 'x'"
    ):
        Plant("x")
    with pytest.raises(UserError, match=r"plant.groups must be 2 or more, got 1"):
        Plant("rotation", 1)


def test_as_many_groups_as_permutations_are_all_different() -> None:
    planted = planting(Plant("permuted_labels", 6), 6, (4,), 3, seed=0)
    assert planted is not None
    assert len({tuple(row) for row in planted.relabel.tolist()}) == 6
    assert planted.relabel[0].tolist() == [0, 1, 2]
