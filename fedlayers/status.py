"""``python -m fedlayers.status``, see :mod:`fedlayers.commands.status`."""

import sys

from fedlayers.commands.status import main

if __name__ == "__main__":
    sys.exit(main())
