"""``python -m fedlayers.plot``, see :mod:`fedlayers.commands.plot`."""

import sys

from fedlayers.commands.plot import main

if __name__ == "__main__":
    sys.exit(main())
