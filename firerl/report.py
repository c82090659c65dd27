"""``python -m firerl.report``: writes one page about a run."""

import sys

from firerl.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
