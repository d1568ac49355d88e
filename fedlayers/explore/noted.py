"""Whether a run has what a note is about: its client, round and examples."""

from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.explore.annotations import Note
from fedlayers.heterogeneity.input_names import INPUTS, MOST, SAMPLES, SCOPES
from fedlayers.runs.partition_table import load_partition
from fedlayers.runs.reading.run_facts import run_facts


def check_note(run: Path, note: Note) -> None:
    """Check that a run has what a note names.

    Args:
        run: its folder.
        note: a text about a round, or examples of a client.

    Raises:
        UserError: it has not; the sentence says what it has.
    """
    facts = run_facts(run)
    clients, reached = facts.get("clients"), facts.get("round")
    if note.client is not None and isinstance(clients, int) and note.client >= clients:
        raise UserError(f"client must be a number in 0 … {clients - 1}, got {note.client}")
    if note.round is not None and isinstance(reached, int) and note.round > reached:
        raise UserError(f"round must be a number in 0 … {reached}, the last one so far, got {note.round}")
    known = (*INPUTS, *SAMPLES)
    if note.inputs is not None and note.inputs not in known:
        raise UserError(f"inputs must be one of {', '.join(known)}, got {note.inputs!r}")
    if not note.examples:
        return
    if note.client is None:
        raise UserError("client must be given with examples, whose numbers count a client's records")
    most = _records(run, note.client, note.inputs or "local")
    wrong = [number for number in note.examples if not 0 <= number < most] if most is not None else []
    if wrong:
        raise UserError(f"examples must be numbers in 0 … {(most or 1) - 1}, got {wrong[0]}")


def _records(run: Path, client: int, inputs: str) -> int | None:
    """Return how many records an input set has, None where that is not known without the data."""
    table = load_partition(run)
    if table is None:
        return None
    frame = table.to_pandas()
    scopes = [inputs] if inputs in SCOPES else list(SCOPES)
    own = frame[(frame["client"] == client) & frame["scope"].isin(scopes)]
    if own.empty:
        return None
    count = int(own["examples"].sum())
    return min(count, MOST) if inputs in SAMPLES else count
