"""``python -m fedlayers.compare``, see :mod:`fedlayers.commands.compare`."""

import sys

from fedlayers.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
