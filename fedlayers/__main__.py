"""``python -m fedlayers``."""

from fedlayers.app import main

if __name__ == "__main__":
    main()
