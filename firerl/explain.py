"""``python -m firerl.explain``: tells a run in sentences."""

import sys

from firerl.commands.explain import main

if __name__ == "__main__":
    sys.exit(main())
