"""``python -m fedlayers.chain``, see :mod:`fedlayers.commands.chain.main`."""

import sys

from fedlayers.commands.chain.main import main

if __name__ == "__main__":
    sys.exit(main())
