"""Algorithms that go by the class of an example: they refuse data of which several labels may hold."""

from fedlayers.core.errors import UserError
from fedlayers.flower.session import Session


def check_one_class(session: Session | None, algorithm: str) -> None:
    """Check that every example has one class.

    Args:
        session: the client's; None where only the algorithm's arguments are tried.
        algorithm: what messages call it.

    Raises:
        UserError: several labels of an example may hold.
    """
    if session is not None and session.workspace.federation.has_label_sets:
        raise UserError(
            f"algorithm must go without classes with dataset={session.workspace.federation.name}, of whose examples "
            f"several labels may hold, got {algorithm}; choose another one, such as fedavg"
        )
