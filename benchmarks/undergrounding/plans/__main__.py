"""`python -m benchmarks.undergrounding.plans`."""

import sys

from benchmarks.undergrounding.plans.command import main

if __name__ == "__main__":
    sys.exit(main())
