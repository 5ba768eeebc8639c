"""Set up what must be done from inside each device's namespace: forwarding and link shaping.

One process enters all namespaces one after the other, which is much quicker than one process each.
usage: python -m edgeray.testbed.inside NAMESPACE=DEVICE_FILE...
Prints, as a JSON list, why links are not shaped; [] when all are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeray.network.manager import open_manager
from edgeray.testbed import device_file
from edgeray.testbed.command import enter_network_namespace
from edgeray.testbed.namespaces import NETNS_FOLDER


def main(arguments: Sequence[str]) -> int:
    problems = set()
    for argument in arguments:
        namespace, _, file = argument.partition("=")
        enter_network_namespace(str(NETNS_FOLDER / namespace))
        set_up_forwarding(Path("/proc/sys/net"))
        manager = open_manager(device_file.read(file).network)
        if manager.enforcement != "tc":
            problems.add(manager.reason)
    print(json.dumps(sorted(problems)))
    return 0


def set_up_forwarding(root: Path) -> None:
    """Let the device forward IPv4 along any route and send nothing of its own accord (IPv6 discovery)."""
    (root / "ipv4/ip_forward").write_text("1")
    for file in sorted((root / "ipv4/conf").glob("*/rp_filter")):
        file.write_text("0")
    for file in sorted((root / "ipv6/conf").glob("*/disable_ipv6")):
        file.write_text("1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
