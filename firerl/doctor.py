"""``python -m firerl.doctor``: says what of a run is whole and mends it."""

import sys

from firerl.commands.doctor import main

if __name__ == "__main__":
    sys.exit(main())
