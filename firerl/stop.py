"""``python -m firerl.stop``: ends a run at its next ready."""

import sys

from firerl.commands.running.stop import main

if __name__ == "__main__":
    sys.exit(main())
