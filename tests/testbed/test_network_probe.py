"""What a process finds out about its network: its rights, the kernel's parts, and its ports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from network_lab import Lab, may_make_namespaces, network_lab

from edgeray.errors import BadInputError
from edgeray.network.discover import discover_ports
from edgeray.network.types import LinkPort
from policies.model import Link, link_id

REFUSED = may_make_namespaces()
pytestmark = [pytest.mark.testbed, pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))]

ASK = (
    "import json; from dataclasses import asdict; from edgeray.network.probe import capabilities\n"
    "found = capabilities(); print(json.dumps({**asdict(found), 'shaping': found.shaping}))"
)

SHAPE_AS_A_USER = """
import subprocess
from edgeray.network.manager import open_manager
from edgeray.network.types import DeviceNetwork, LinkPort
subprocess.run("ip link add v0 type veth peer name v1".split(), check=True)
port = LinkPort(link="a-b", interface="v0", peer="b", peer_address="10.158.0.2", capacity_bps=1e6)
manager = open_manager(DeviceNetwork(device="a", address="10.158.0.1", ports=(port,)))
print(manager.enforcement)
subprocess.run("tc qdisc show dev v0".split(), check=True)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with network_lab({("a", "b"): 1e6, ("a", "c"): 2e6, ("c", "d"): 1e6}) as made:
        yield made


def ask(lab: Lab, *prefix: str) -> dict:
    return json.loads(lab["a"].run(*prefix, sys.executable, "-c", ASK))


def test_root_may_shape_and_nothing_stays(lab: Lab) -> None:
    before = lab["a"].run("tc", "qdisc", "show")
    found = ask(lab)
    assert found["reasons"] == {}
    assert all(found[name] for name in ("net_admin", "namespaces", "htb", "u32", "bfifo", "ip_rule_ports"))
    assert found["shaping"]
    assert lab["a"].run("tc", "qdisc", "show") == before


def test_without_the_right_to_there_is_no_shaping(lab: Lab) -> None:
    found = ask(lab, "setpriv", "--bounding-set", "-net_admin,-sys_admin")
    assert not found["net_admin"]
    assert not found["shaping"]
    assert "CAP_NET_ADMIN" in found["reasons"]["net_admin"]


def test_a_user_namespace_gives_the_right() -> None:
    done = subprocess.run(
        ["unshare", "-Urn", sys.executable, "-c", SHAPE_AS_A_USER], capture_output=True, text=True
    )
    if "unshare failed" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tc")
    assert "qdisc htb ed9e: root" in done.stdout


def links(*pairs: tuple[str, str]) -> dict:
    return {link_id(*pair): Link(ends=tuple(sorted(pair)), capacity_bps=1e6) for pair in pairs}


def test_ports_are_found_by_asking_for_routes(lab: Lab) -> None:
    addresses = {name: device.network.address for name, device in lab.devices.items()}
    found = discover_ports(
        addresses, links(("a", "b"), ("c", "a"), ("c", "d")), "a", netlink=lab["a"].netlink
    )
    assert (found.device, found.address) == ("a", addresses["a"])
    assert found.ports == tuple(
        LinkPort(
            link=f"a-{peer}",
            interface=f"to-{peer}",
            peer=peer,
            peer_address=addresses[peer],
            capacity_bps=1e6,
        )
        for peer in "bc"
    )


def test_neighbours_that_are_none_are_named(lab: Lab) -> None:
    kernel = lab["a"].netlink
    addresses = {name: device.network.address for name, device in lab.devices.items()}
    with pytest.raises(BadInputError, match="cannot be reached from a: no route"):
        discover_ports(addresses, links(("a", "d")), "a", netlink=kernel)
    with pytest.raises(BadInputError, match="is this machine itself"):
        discover_ports({**addresses, "b": addresses["a"]}, links(("a", "b")), "a", netlink=kernel)
    with pytest.raises(BadInputError, match="device x has no address"):
        discover_ports(addresses, links(("a", "x")), "a", netlink=kernel)
    hop = addresses["c"]
    lab["a"].run("ip", "route", "add", addresses["d"], "via", hop, "dev", "to-c", "onlink")
    with pytest.raises(BadInputError, match=f"behind the router {hop}"):
        discover_ports(addresses, links(("a", "d")), "a", netlink=kernel)


def test_a_namespace_can_be_cleared_by_who_knows_nothing_of_it(lab: Lab) -> None:
    device = lab["c"]
    before = [device.run(*command.split()) for command in ("tc qdisc show", "ip rule show")]
    lab.apply(lab.rule("f", 5000, ("a", "c", "d"), 0.5e6))
    clear = "from edgeray.network.manager import clear_namespace; clear_namespace()"
    assert "htb" in device.run("tc", "qdisc", "show")
    device.run("setpriv", "--bounding-set", "-net_admin", sys.executable, "-c", clear)
    assert "htb" in device.run("tc", "qdisc", "show")
    device.run(sys.executable, "-c", clear)
    assert [device.run(*command.split()) for command in ("tc qdisc show", "ip rule show")] == before
