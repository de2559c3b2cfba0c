"""`python -m benchmarks.decisions.generative`."""

from benchmarks.decisions.generative.command import main

if __name__ == "__main__":
    raise SystemExit(main())
