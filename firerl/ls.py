"""``python -m firerl.ls``: the runs below a folder, one a line."""

import sys

from firerl.commands.running.ls import main

if __name__ == "__main__":
    sys.exit(main())
