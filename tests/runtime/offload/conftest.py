"""Lines that can be cut are those of the cameras' tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "streams"))
