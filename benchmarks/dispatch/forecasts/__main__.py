"""`python -m benchmarks.dispatch.forecasts`."""

import sys

from benchmarks.dispatch.forecasts.command import main

if __name__ == "__main__":
    sys.exit(main())
