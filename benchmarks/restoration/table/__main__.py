"""`python -m benchmarks.restoration.table`."""

import sys

from benchmarks.restoration.table.command import main

if __name__ == "__main__":
    sys.exit(main())
