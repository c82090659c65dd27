"""``python -m firerl.export``: writes the winner's network as an ONNX file."""

import sys

from firerl.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
