"""``python -m firerl.watch``: serves a page over many runs to this machine."""

import sys

from firerl.commands.running.watch import main

if __name__ == "__main__":
    sys.exit(main())
