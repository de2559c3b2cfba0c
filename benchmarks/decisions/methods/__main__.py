"""`python -m benchmarks.decisions.methods`."""

import sys

from benchmarks.decisions.methods.command import main

if __name__ == "__main__":
    sys.exit(main())
