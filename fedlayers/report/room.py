"""How many rounds and clients a page has room for."""

import math
from collections.abc import Sequence

MOST_ROUNDS = 50
MOST_CLIENTS = 200
# About 27 MB of text at four bytes a number.
MOST_NUMBERS = 5_000_000


def room(columns: Sequence[tuple[int, float]], clients: int, numbers: int = MOST_NUMBERS) -> tuple[int, int]:
    """Return how many rounds of each matrix and how many clients are kept, so that a page stays of a size that opens.

    Rounds are left out first, down to two, then clients, down to two.

    Args:
        columns: of each matrix, the number of rounds and the numbers that a cell of a round needs.
        clients: how many there are.
        numbers: how many numbers the page may hold.

    Returns:
        At most 50 rounds and 200 clients.
    """
    rounds, clients = MOST_ROUNDS, min(clients, MOST_CLIENTS)
    while rounds > 2 and _total(columns, rounds, clients) > numbers:
        rounds -= 1
    if (total := _total(columns, rounds, clients)) > numbers:
        clients = max(2, math.floor(clients * math.sqrt(numbers / total)))
    return rounds, clients


def _total(columns: Sequence[tuple[int, float]], rounds: int, clients: int) -> float:
    return sum(min(measured, rounds) * width for measured, width in columns) * clients**2
