"""``python -m firerl.check``: tries whether a learner keeps the contract."""

import sys

from firerl.commands.check import main

if __name__ == "__main__":
    sys.exit(main())
