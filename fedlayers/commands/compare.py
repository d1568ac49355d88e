"""Says which algorithm is better, on whom, and how sure that is: ``python -m fedlayers.compare STUDY_OR_RUN ...``.

Runs that differ in nothing but their seed repeat each other; what else they differ in makes another algorithm
(algorithm, plan, learner), a value that was tried (training.lr, chosen by validation loss), or another setting.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out

_EXAMPLES = """examples:
  python -m fedlayers.compare results/paper                       results/paper/comparison/ holds its tables
  python -m fedlayers.compare results/paper --metric loss --baseline local
  python -m fedlayers.compare results/paper --round best          of each run the round with the lowest validation loss
  python -m fedlayers.compare results/paper --clients unseen      of clients that never train (split.unseen_clients)
  python -m fedlayers.compare results/heart results/fmnist --out paper
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what the command line names and print it; return the exit code: 0, or 1 if there is nothing."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _compare(words))


def _compare(words: argparse.Namespace) -> int:
    # Pandas, scipy.stats and Hydra take seconds: --help does without.
    from fedlayers.commands.communicating import write_communication
    from fedlayers.commands.comparing import comparison
    from fedlayers.runs.reading.run_facts import is_run
    from fedlayers.views.comparison.conclusions import told
    from fedlayers.views.comparison.files import write

    asked = {name: getattr(words, name) for name in ("metric", "baseline", "moment", "round", "clients")}
    found = comparison(*words.folders, **asked)
    print(told(found))
    first = words.folders[0]
    folder = words.out or (first.parent if is_run(first) else first) / "comparison"
    files = list(write(found, folder))
    communication, lacking = write_communication(words.folders, folder)
    print(f"\n{folder}: {', '.join(file.name for file in [*files, *communication])}")
    if lacking:
        print(lacking)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.compare",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="STUDY_OR_RUN", help="results/<study> or results/<study>/<run>"
    )
    parser.add_argument(
        "--metric",
        help="what is shown of all that is in the tables; accuracy if not given, of label sets subset_accuracy",
    )
    parser.add_argument("--baseline", help="the algorithm that differences are from; fedavg, else local")
    parser.add_argument("--moment", default="after_aggregate", help="after_aggregate (default) or after_local training")
    parser.add_argument("--round", default="last", help="last (default), or best by validation loss")
    parser.add_argument("--clients", default="trained", help="trained (default), or unseen: those that never train")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="comparison/ in the first study if not given")
    return parser
