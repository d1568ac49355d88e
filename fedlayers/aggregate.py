"""``python -m fedlayers.aggregate``, see :mod:`fedlayers.commands.aggregate`."""

import sys

from fedlayers.commands.aggregate import main

if __name__ == "__main__":
    sys.exit(main())
