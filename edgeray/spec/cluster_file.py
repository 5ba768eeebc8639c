"""Reads a cluster file: devices, and the links that join them."""

from pathlib import Path

from edgeray.spec.app import Cluster
from edgeray.spec.graph import reachable
from edgeray.spec.schema import ClusterForm, DeviceForm, is_id
from edgeray.spec.validate import validate
from edgeray.spec.words import listed, remedy_for_name
from edgeray.spec.yaml_file import Document, read_yaml
from policies.model import Device, DeviceId, Link, LinkId, Network, link_id

_EXPECTED = "a cluster file: `head: ...`, `devices: ...` and `links: ...`"


def load_cluster(path: str | Path) -> Cluster:
    """The cluster that a file describes. Raises SpecError (file:line, found, expected, remedy)."""
    file = Path(path)
    document = read_yaml(file, expected=_EXPECTED)
    form = validate(document, ClusterForm)
    _check_head(document, form)
    _check_addresses(document, form)
    links = _links(document, form)
    _check_connected(document, form, links)
    name = form.name or file.absolute().stem
    if not is_id(name):
        raise document.error(
            (),
            f"the cluster has no name, and '{name}' (of the file) is not usable as one",
            expected="a name of letters, digits, '_', '.' and '-'",
            remedy="add `name: ...`",
        )
    return Cluster(
        name=name,
        head=DeviceId(form.head),
        network=Network(
            devices={DeviceId(id): _device(id, form.devices[id]) for id in sorted(form.devices)},
            links=dict(sorted(links.items())),
        ),
        file=file,
        addresses={
            DeviceId(id): form.devices[id].address or ""
            for id in sorted(form.devices)
            if form.devices[id].address is not None
        },
        places=document.places(),
    )


def _device(id: str, form: DeviceForm) -> Device:
    return Device(
        id=DeviceId(id),
        type=form.type,
        speed_flop_per_s=form.speed,
        memory_bytes=form.memory,
        cpus=form.cpus,
        gpu=form.gpu,
    )


def _check_head(document: Document, form: ClusterForm) -> None:
    if form.head not in form.devices:
        raise document.error(
            ("head",),
            f"the head '{form.head}' is no device",
            expected=f"one of {listed(sorted(form.devices))}",
            remedy=remedy_for_name(form.head, list(form.devices), "name one of the devices"),
        )


def _check_addresses(document: Document, form: ClusterForm) -> None:
    users: dict[str, str] = {}
    for id, device in form.devices.items():
        if device.address is None:
            continue
        if device.address in users:
            raise document.error(
                ("devices", id, "address"),
                f"devices '{users[device.address]}' and '{id}' have the same address {device.address}",
                expected="an address of its own for each device",
                remedy="correct one of them",
            )
        users[device.address] = id
    without = [id for id, device in form.devices.items() if device.address is None]
    if users and without:
        raise document.error(
            ("devices", without[0]),
            f"device '{without[0]}' has no address, but '{next(iter(users.values()))}' has one",
            expected="an address for all devices (real ones) or for none (emulated ones)",
            remedy="add `address: ...`, or remove the others",
        )


def _links(document: Document, form: ClusterForm) -> dict[LinkId, Link]:
    links: dict[LinkId, Link] = {}
    numbers: dict[LinkId, int] = {}
    for number, link_form in enumerate(form.links):
        path = ("links", str(number))
        for end in link_form.ends:
            if end not in form.devices:
                raise document.error(
                    path,
                    f"link {number + 1} ends at '{end}', which is no device",
                    expected=f"two of {listed(sorted(form.devices))}",
                    remedy=remedy_for_name(end, list(form.devices), "add the device, or remove the link"),
                )
        first, second = sorted(DeviceId(end) for end in link_form.ends)
        if first == second:
            raise document.error(
                path,
                f"link {number + 1} joins '{first}' with itself",
                expected="two different devices",
                remedy="remove it, or name the other device",
            )
        id = link_id(first, second)
        if id in links:
            _refuse_duplicate(document, links[id], (first, second), numbers[id], number)
        numbers[id] = number
        links[id] = Link(ends=(first, second), capacity_bps=link_form.capacity, delay_s=link_form.delay)
    return links


def _refuse_duplicate(
    document: Document, other: Link, ends: tuple[DeviceId, DeviceId], number: int, again: int
) -> None:
    path, line = ("links", str(again)), document.line(("links", str(number)))
    if other.ends != ends:
        raise document.error(
            path,
            f"the links {other.ends} and {ends} would both be called '{other.id}'",
            expected="device ids that keep the names of links apart",
            remedy="rename a device, without '-'",
        )
    raise document.error(
        path,
        f"link '{other.id}' is given twice: on line {line} and on line {document.line(path)}",
        expected="at most one link between two devices; both directions share it",
        remedy="remove one, or add their capacities",
    )


def _check_connected(document: Document, form: ClusterForm, links: dict[LinkId, Link]) -> None:
    joined = reachable(form.head, [link.ends for link in links.values()])
    apart = sorted(set(form.devices) - joined)
    if apart:
        raise document.error(
            ("devices", apart[0]),
            f"the network is disconnected: no links lead from the head '{form.head}' to {listed(apart)}",
            expected="a route between any two devices",
            remedy=f"add a link: `- {{ends: [{form.head}, {apart[0]}], capacity: 10Mbps}}`",
        )
