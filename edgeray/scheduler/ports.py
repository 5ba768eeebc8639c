"""TCP ports of flows: unique in the cluster while they live, and not reused at once."""

from __future__ import annotations

FIRST_PORT = 20000
LAST_PORT = 29999


class PortPool:
    """Hands ports out round robin, so that a port just freed (TIME_WAIT, late packets) rests longest."""

    def __init__(self) -> None:
        self._next = FIRST_PORT
        self._used: set[int] = set()

    @property
    def free(self) -> int:
        """How many can be taken."""
        return LAST_PORT - FIRST_PORT + 1 - len(self._used)

    def take(self) -> int:
        """The next free port. Raises RuntimeError when all 10,000 are in use."""
        for _ in range(LAST_PORT - FIRST_PORT + 1):
            port = self._next
            self._next = FIRST_PORT if port == LAST_PORT else port + 1
            if port not in self._used:
                self._used.add(port)
                return port
        raise RuntimeError(f"all flow ports {FIRST_PORT}-{LAST_PORT} are in use; stop some jobs")

    def release(self, port: int) -> None:
        self._used.discard(port)
