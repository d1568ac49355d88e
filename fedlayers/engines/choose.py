"""Which engine runs: the one asked for, or for ``auto`` the one that suits the size of the job."""

from fedlayers.config import Config
from fedlayers.data.federation import Federation

TINY_RECORDS = 150_000


def choose(config: Config, federation: Federation) -> tuple[str, str]:
    """Return the engine's name and why it was chosen.

    ``auto`` takes ``local`` for a job that trains on fewer than ``TINY_RECORDS`` records in all, because starting
    Ray takes longer than that, and ``ray`` otherwise.
    """
    if config.engine.name != "auto":
        return config.engine.name, "as asked"
    trained = len(federation.pooled_train) * config.rounds * config.training.epochs * config.fraction
    if config.engine.address is not None:
        return "ray", "engine.address is given"
    if trained < TINY_RECORDS:
        return "local", f"a tiny job: {trained:,.0f} training records in all, less than starting Ray is worth"
    return "ray", f"{trained:,.0f} training records in all"
