"""``python -m fedlayers.explore``, see :mod:`fedlayers.commands.explore`."""

import sys

from fedlayers.commands.explore import main

if __name__ == "__main__":
    sys.exit(main())
