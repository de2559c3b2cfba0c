"""The old `python -m stormgym.agents.dfl`: forecasters of outage waves are fitted by `stormgym.agents.dispatch` now."""

import runpy
import sys

if __name__ == "__main__":
    print("python -m stormgym.agents.dfl has moved: write python -m stormgym.agents.dispatch", file=sys.stderr)
    runpy.run_module("stormgym.agents.dispatch", run_name="__main__")
