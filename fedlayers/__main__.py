"""``python -m fedlayers``."""

from fedlayers.commands.main import main

if __name__ == "__main__":
    main()
