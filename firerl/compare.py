"""``python -m firerl.compare``: compares runs at equal steps."""

import sys

from firerl.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
