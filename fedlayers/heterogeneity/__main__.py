"""``python -m fedlayers.heterogeneity``, see :mod:`fedlayers.commands.heterogeneity`."""

import sys

from fedlayers.commands.heterogeneity import main

if __name__ == "__main__":
    sys.exit(main())
