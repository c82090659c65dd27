"""``python -m firerl.journal``: prints what happened in a run."""

import sys

from firerl.commands.journal import main

if __name__ == "__main__":
    sys.exit(main())
