"""The process that keeps an ordinary user's namespaces alive.

usage: unshare --user --map-root-user --net --mount python -m edgeray.testbed.holder er-TAG
It forks, prints the child's pid, and the child waits until it is killed; with it, and with what runs inside,
go the user namespace and all network namespaces bound in its private mount namespace.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> int:
    netns = Path("/run/netns")
    # `ip netns` binds its files under /run/netns, which an ordinary user can neither make nor write to.
    target = netns if netns.is_dir() else netns.parent
    subprocess.run(["mount", "-t", "tmpfs", "edgeray", str(target)], check=True)
    netns.mkdir(exist_ok=True)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        return 0
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
