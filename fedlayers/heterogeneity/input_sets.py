"""Which records two models are asked about: a client's own, or samples of the space that these span."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.core.seeding import derive
from fedlayers.core.spelling import in_brackets
from fedlayers.heterogeneity.input_names import INPUTS, MOST, SAMPLES
from fedlayers.heterogeneity.local_records import LocalRecords, chosen, local_records
from fedlayers.opening.run import Run
from metrics.input_sets.samples import stratified_sample, systematic_sample

SCOPE = "space_sample"


@dataclass(frozen=True)
class SampledRecords:
    """Samples of the space that a client's records span, numbered from 0; nobody labelled them.

    Attributes:
        client: whose records span it.
        features: what models see: normalised, shape (n, *shape), float32, on the CPU.
        scale, shift: normalised values are raw ones times scale plus shift; they fit any record.
    """

    client: int
    features: Tensor
    scale: Tensor
    shift: Tensor
    truth: None = None

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.features)

    @property
    def scopes(self) -> np.ndarray:
        """The scope of each record, shape (n,), texts."""
        return np.repeat([SCOPE], len(self))

    @cached_property
    def _raw(self) -> Tensor:
        return ((self.features.double() - self.shift.double()) / self.scale.double()).float()

    def raw(self, numbers: Sequence[int] | None = None) -> Tensor:
        """Return some records on the scale of the data set, before normalisation: shape (b, *shape), float32.

        Args:
            numbers: of the records; None for all.

        Raises:
            UserError: there is no record of a number.
        """
        return self._raw.index_select(0, chosen(numbers, len(self)))


def records_of(run: Run, client: int, inputs: str = "local") -> LocalRecords | SampledRecords:
    """Return records to ask two models about.

    ``stratified`` and ``systematic`` are samples of the box along the 8 principal directions of all the client's
    records, at random within strata (a Latin hypercube, seeded by run and client) or on a regular grid: see
    :mod:`metrics.input_sets.samples`. There are as many as the client has records, 1,000 at most.

    Args:
        run: the run.
        client: the client's number.
        inputs: one of :data:`fedlayers.heterogeneity.input_names.INPUTS` or ``SAMPLES``.

    Raises:
        UserError: there is no such client or input set, the client has no such examples, or they span no space.
    """
    if inputs not in SAMPLES:
        known = (*INPUTS, *SAMPLES)
        if inputs not in INPUTS:
            raise UserError(f"inputs must be one of {', '.join(known)}, got {inputs!r}{in_brackets(inputs, known)}")
        return local_records(run, client, inputs)
    records = local_records(run, client)
    if run.data.has_tokens:
        raise UserError(
            f"inputs must be one of {', '.join(INPUTS)} for {run.data.name}, got {inputs!r}: between texts is nothing "
            "to sample"
        )
    count, part = min(len(records), MOST), next(iter(records.parts.values()))
    try:
        if inputs == "stratified":
            found = stratified_sample(records.features, count, derive(run.config.seed, "space sample", client=client))
        else:
            found = systematic_sample(records.features, count)
    except ValueError as error:
        raise UserError(f"client {client} has too few different records to sample from: {error}") from None
    return SampledRecords(client, found.float(), part.scale.cpu(), part.shift.cpu())
