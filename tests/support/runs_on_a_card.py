"""Carries out runs on a card, in a process of its own: ``python -m tests.support.runs_on_a_card RESULTS``.

Reads a JSON list of lists of overrides, and writes as another for each run its folder, or what went wrong, and how
often something was read from the card meanwhile.
"""

import json
import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import replace

from fedlayers.config.compose import compose_config
from fedlayers.execution.execute import execute
from tests.support.pretend_card import compute_on_a_card, reads


def run(overrides: list[str], results: str) -> tuple[str, int]:
    """Return the folder of a run, or its traceback, and the number of reads."""
    before = reads[0]
    try:
        folder = execute(replace(compose_config(overrides), results_dir=results))
    except Exception:
        return traceback.format_exc(), 0
    return str(folder), reads[0] - before


def main() -> None:
    """Carry out what stands in the input."""
    compute_on_a_card()
    with redirect_stdout(sys.stderr):
        done = [run(overrides, sys.argv[1]) for overrides in json.load(sys.stdin)]
    print(json.dumps(done))


if __name__ == "__main__":
    main()
