"""``python -m napari_ufseg``: the same as the command ``ufseg``."""

import sys

from napari_ufseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
