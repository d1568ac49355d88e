"""Shows a run or a study in a browser, and answers programs: ``python -m fedlayers.explore [RUN_OR_STUDY]``.

It listens on this machine only, on a free port unless told, and prints the page's address; --open opens it. ``/docs``
there says what programs can ask: runs, slices of their tables, charts, what happens now. Nothing is written but
annotations.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out

_EXAMPLES = """examples:
  python -m fedlayers.explore results/main/<run> --open        a run, in the browser
  python -m fedlayers.explore results/main --port 8000         all runs of a study
  ssh -L 8000:localhost:8000 cluster                           then the same address reaches a service over there
  python -m fedlayers.explore results/main --host 0.0.0.0 --token a-long-secret-of-yours
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve what the command line names until Ctrl-C; return the exit code: 0, or 1 for a mistake."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _serve(words))


def _serve(words: argparse.Namespace) -> int:
    # FastAPI and Arrow take a second: --help does without.
    from fedlayers.explore.serving import serve

    def say(line: str) -> None:
        print(line, flush=True)

    return serve(words.folder, words.host, words.port, words.token, words.open, say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.explore",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = "results/<study>/<run> or results/<study>; results/main if not given"
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("results/main"), metavar="RUN_OR_STUDY", help=where
    )
    parser.add_argument("--port", type=_port, default=0, help="0 to 65535; 0, a free one, if not given")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; this machine only if not given")
    parser.add_argument("--token", help="what every request must bring; needed with --host beyond this machine")
    parser.add_argument("--open", action="store_true", help="open the address in a browser")
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {number}")
    return number
