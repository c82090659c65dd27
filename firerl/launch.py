"""``python -m firerl.launch``: starts and resumes runs."""

import sys

from firerl.commands.launch import main

if __name__ == "__main__":
    sys.exit(main())
