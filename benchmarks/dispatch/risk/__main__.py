"""`python -m benchmarks.dispatch.risk`."""

import sys

from benchmarks.dispatch.risk.command import main

if __name__ == "__main__":
    sys.exit(main())
