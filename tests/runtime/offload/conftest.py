"""Lines that can be cut are those of the cameras' tests; the ends of real ones, those of the nodes'."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("streams", "node")]
