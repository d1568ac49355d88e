"""Samples of the data space: where they lie, how evenly, and that they are the same every time."""

import numpy as np
import pytest
import torch

from metrics.input_sets.samples import stratified_sample, systematic_sample
from metrics.input_sets.space import DataSpace


def records(n: int = 200, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((n, 3)) * [5.0, 2.0, 0.5] @ np.linalg.qr(random.standard_normal((12, 12)))[0][:3]
    found: np.ndarray = mixed.reshape(n, 3, 4) + 1
    return found


def places(samples: torch.Tensor, space: DataSpace) -> np.ndarray:
    scores = (samples.flatten(1) - space.mean) @ space.directions.T
    found: np.ndarray = ((scores - space.low) / (space.high - space.low)).numpy()
    return found


def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let features go beyond those of the records, so that places are those that were drawn."""
    bounded = DataSpace.of

    def free(given: np.ndarray, dimensions: int) -> DataSpace:
        space = bounded(given, dimensions)
        return DataSpace(**{**vars(space), "least": space.least - torch.inf, "most": space.most + torch.inf})

    monkeypatch.setattr(DataSpace, "of", free)


def test_every_slice_of_every_direction_has_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    unbounded(monkeypatch)
    found = stratified_sample(records(), 40)
    slices = np.floor(places(found, DataSpace.of(records(), 8)) * 40).astype(int)
    assert found.shape == (40, 3, 4) and slices.shape == (40, 3)
    for column in slices.T:
        assert sorted(column) == list(range(40))
    assert torch.equal(found, stratified_sample(records(), 40)) and not torch.equal(
        found, stratified_sample(records(), 40, 1)
    )


def test_a_grid_is_regular(monkeypatch: pytest.MonkeyPatch) -> None:
    unbounded(monkeypatch)
    found = systematic_sample(records(), 30)
    at = places(found, DataSpace.of(records(), 8))
    assert [len(np.unique(column.round(6))) for column in at.T] == [3, 3, 3] and len(found) == 27
    np.testing.assert_allclose(np.unique(at[:, 0].round(6)), [1 / 6, 1 / 2, 5 / 6], atol=1e-6)
    assert [len(systematic_sample(records(), count)) for count in (1, 2, 5, 8, 12, 18)] == [1, 2, 4, 8, 12, 18]


@pytest.mark.parametrize("sample", [stratified_sample, systematic_sample])
def test_samples_stay_where_records_are(sample) -> None:  # type: ignore[no-untyped-def]
    pixels = np.clip(records(), 0, 2)
    found = sample(pixels, 60).numpy()
    assert (found >= pixels.min(0)).all() and (found <= pixels.max(0)).all() and found.std(0).max() > 0.1


def test_no_space_is_told() -> None:
    for given, message in [
        (np.zeros((1, 4)), r"records must have shape \(records, …\), 2 records or more, got \(1, 4\)"),
        (np.ones((3, 4)), r"records must vary"),
        (np.full((3, 4), np.nan), r"records must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            stratified_sample(given, 3)
    with pytest.raises(ValueError, match=r"count must be 1 or more, got 0"):
        systematic_sample(records(), 0)
    with pytest.raises(ValueError, match=r"dimensions must be 1 or more, got 0"):
        systematic_sample(records(), 3, 0)
