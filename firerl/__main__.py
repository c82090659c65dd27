"""``python -m firerl <command>``: any of the commands."""

import sys

from firerl.commands import main

if __name__ == "__main__":
    sys.exit(main())
