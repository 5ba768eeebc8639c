"""Devices that a job names: a list of them, all of some types, or one; and what a cluster has of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from edgeray.errors import SpecError
from edgeray.spec.app import Cluster
from edgeray.spec.graph import reachable
from edgeray.spec.schema import Id, is_id, wrong
from edgeray.spec.words import kind_of, listed, remedy_for_name, shorten
from policies.model import DeviceId, Network

RELAYS = ("switch", "router")
"""Types of devices that only pass on what others send; they take part in nothing unless a job names them."""
_EXPECTED = "a list of devices, or {types: [device types]}"


class DevicesForm(BaseModel):
    """Devices by name, and all devices of some types."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: list[Id] = Field(default_factory=list, description="Devices by name.")
    types: list[Id] = Field(default_factory=list, description="All devices of these types.")


DEVICES_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"$ref": "#/$defs/DevicesForm"}]}
)


def takes_devices(key: str, otherwise: str) -> BeforeValidator:
    """Takes a list for {devices: [...]}. otherwise: who is meant where nobody is named, for messages."""

    def normal(value: Any) -> Any:
        if isinstance(value, list):
            value = {"devices": value}
        if not isinstance(value, dict):
            if value is None:
                return None
            raise wrong(
                "is no list",
                expected=_EXPECTED,
                remedy=f"write `{key}: [DEVICE, DEVICE]`, or leave it out for {otherwise}",
            )
        for part in ("devices", "types"):
            _check_names(part, value.get(part, []))
        if not value.get("devices") and not value.get("types") and value.keys() <= {"devices", "types"}:
            raise wrong(
                "names nobody", expected=_EXPECTED, remedy=f"name a device, or leave it out for {otherwise}"
            )
        return value

    return BeforeValidator(normal)


def _check_names(part: str, names: Any) -> None:
    expected = f"a list of {'devices' if part == 'devices' else 'device types'}"
    if not isinstance(names, list):
        raise wrong(
            f"has for '{part}' {kind_of(names)}", expected=expected, remedy=f"write `{part}: [NAME, NAME]`"
        )
    for name in names:
        if not isinstance(name, str) or not is_id(name):
            raise wrong(
                f"holds {shorten(repr(name))}, which is no name",
                expected=expected,
                remedy="correct it, or quote it if it is text",
            )
        if names.count(name) > 1:
            raise wrong(f"names '{name}' twice", expected="each once", remedy="remove one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The cluster of a job that names its devices. head: None where nobody knows it. where: its name in messages.

    error: the job's own, which adds the line. All methods raise SpecError for what the cluster does not have.
    """

    network: Network
    head: DeviceId | None
    where: str
    error: Callable[..., SpecError]

    @staticmethod
    def of(cluster: Cluster | Network, error: Callable[..., SpecError]) -> Place:
        if isinstance(cluster, Cluster):
            where = f"cluster '{cluster.name}' ({cluster.file})"
            return Place(network=cluster.network, head=cluster.head, where=where, error=error)
        return Place(network=cluster, head=None, where="the cluster", error=error)

    def server(self, named: str | None) -> DeviceId:
        """The device that the job names, else the head."""
        server = named or self.head
        if server is None:
            raise self.error(
                (),
                "nothing says which device is the server",
                expected=f"one of {listed(self.network.devices)}",
                remedy="add `server: DEVICE`",
            )
        return self.device(("server",), "the server", server)

    def device(self, path: tuple[str, ...], what: str, name: str) -> DeviceId:
        """The device of this name. what: it is to the job."""
        if name not in self.network.devices:
            raise self.error(
                path,
                f"{what} '{name}' is no device of {self.where}",
                expected=f"one of {listed(self.network.devices)}",
                remedy=remedy_for_name(name, list(self.network.devices), "name one of these devices"),
            )
        return DeviceId(name)

    def chosen(self, key: str, what: str, form: DevicesForm | None) -> list[DeviceId]:
        """Those that the job names under key, in its order, then those of its types; else all but RELAYS."""
        devices = self.network.devices
        if form is None:
            return [id for id, device in devices.items() if device.type not in RELAYS]
        named = [self.device((key,), what, name) for name in form.devices]
        types = sorted({device.type for device in devices.values()})
        for kind in form.types:
            if kind not in types:
                raise self.error(
                    (key, "types"),
                    f"{self.where} has no device of type '{kind}'",
                    expected=f"one of {listed(types)}",
                    remedy=remedy_for_name(kind, types, "name one of these types"),
                )
        others = [id for id, device in devices.items() if device.type in form.types and id not in named]
        return [*named, *others]

    def check_routes(
        self, path: Sequence[str], what: str, devices: Collection[DeviceId], server: DeviceId
    ) -> None:
        """Links lead from each of the devices to the server."""
        joined = reachable(server, [link.ends for link in self.network.links.values()])
        for device in devices:
            if device not in joined:
                raise self.error(
                    tuple(path),
                    f"no links of {self.where} lead from {what} '{device}' to the server '{server}'",
                    expected="a route between them",
                    remedy="add the link, or leave it out",
                )
