"""Types of arrays, said once; the shape stands beside each use, as in `hours: Floats  # [B, N]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
