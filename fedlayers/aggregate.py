"""Makes the one table of a study: ``python -m fedlayers.aggregate``, see :mod:`fedlayers.studies.aggregate`."""

import sys

from fedlayers.studies.aggregate import main

if __name__ == "__main__":
    sys.exit(main())
