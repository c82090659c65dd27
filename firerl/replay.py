"""``python -m firerl.replay``: trains fresh networks with a run's schedule."""

import sys

from firerl.commands.replay import main

if __name__ == "__main__":
    sys.exit(main())
