"""``python -m bertmod`` is the program ``bertmod``."""

import sys

from bertmod.cli import main

if __name__ == "__main__":
    sys.exit(main())
