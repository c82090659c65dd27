"""``python -m firerl.plan``: says what a run will take."""

import sys

from firerl.commands.plan import main

if __name__ == "__main__":
    sys.exit(main())
