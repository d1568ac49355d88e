"""Trains one run, or with -m the runs of a sweep: what python -m fedlayers does, with the chain's experiments by name.

CONFIG is an experiment of conf/experiment/ such as chain/mnist, or a YAML file written like one; settings are
key=value, and what is not said is as in conf/. Without both CONFIG and metrics=, what answers the three questions is
measured. The same command again continues a run that was stopped, and says so of one that is finished.
"""

from collections.abc import Sequence

from fedlayers.commands.chain.arguments import chain_arguments, training_parser
from fedlayers.commands.main import carried_out_or_continued, start

PROG = "python -m fedlayers.chain train"
_EXAMPLES = """examples:
  python -m fedlayers.chain train model=mlp model.hidden=[64,64,64,64]
  python -m fedlayers.chain train mine.yaml seed=1
  python -m fedlayers.chain train -m model=mlp seed=0,1,2
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what the command line names; return the exit code: 0, 1 after a failure, 128 + signal if stopped."""
    found = training_parser(PROG, __doc__, _EXAMPLES).parse_intermixed_args(arguments)
    return carried_out_or_continued(lambda: start(chain_arguments(found)))
