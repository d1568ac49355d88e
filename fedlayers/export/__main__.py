"""``python -m fedlayers.export``, see :mod:`fedlayers.commands.export`."""

import sys

from fedlayers.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
