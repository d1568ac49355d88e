"""The exceptions of fedlayers that a caller can act on."""

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """A mistake in what the user asked for, told in one sentence and shown without a traceback.

    The sentence names the dotted key or argument, what is allowed, what came and what to do.
    """


class Stopped(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM); everything up to the last committed round is on disk."""


class ClientFailed(Exception):
    """A client raised: the text names client, round and moment and ends with the original traceback."""


class WorkerLost(Exception):
    """A worker process died and could not be replaced."""
