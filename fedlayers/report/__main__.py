"""``python -m fedlayers.report``, see :mod:`fedlayers.commands.report`."""

import sys

from fedlayers.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
