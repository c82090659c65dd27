"""``python -m firerl.play``: lets the winner play."""

import sys

from firerl.commands.play import main

if __name__ == "__main__":
    sys.exit(main())
