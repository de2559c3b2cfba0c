"""`python -m benchmarks.undergrounding.forecasts`."""

import sys

from benchmarks.undergrounding.forecasts.command import main

if __name__ == "__main__":
    sys.exit(main())
