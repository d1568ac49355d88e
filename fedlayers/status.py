"""Tells where the runs of a study stand: ``python -m fedlayers.status``, see :mod:`fedlayers.studies.status`."""

import sys

from fedlayers.studies.status import main

if __name__ == "__main__":
    sys.exit(main())
