"""The forms of job files that decide while they run, `kind: offload` and `kind: frames`, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgeray.spec.named_devices import DEVICES_SCHEMA, DevicesForm, takes_devices
from edgeray.spec.schema import BitsPerS, Id, ItemsPerS, PositiveSeconds, Run, VirtualSeconds
from edgeray.spec.streams_form import Count, Fraction

OFFLOAD, FRAMES = "offload", "frames"
Watts = Annotated[float, Field(strict=True, ge=0, le=1e6)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CodeForm(_Form):
    """Code of the job's folder, or of an installed package."""

    run: Run = Field(description="module:function, or module:Class.")
    args: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the class or function."
    )


class ItemsForm(CodeForm):
    """Where items come from: it is called once, and yields them."""

    rate: ItemsPerS = Field(description="Items a second.")
    items: Count | None = Field(None, description="End after so many. Default: when it yields no more.")


class OffloadSourceForm(ItemsForm):
    """Items, and the device that has them and decides which helper gets each."""

    device: Id = Field(description="Where items come from, and decisions are made.")


class HeardForm(_Form):
    """What helpers tell of themselves: their queues and how fast they are."""

    every: PositiveSeconds = Field(0.5, description="So often; also with each result.")
    delay: VirtualSeconds = Field(0.0, description="For experiments: believed so much later.")


class OffloadForm(_Form):
    """Items of one device that go to one of several helpers each, and are to be back by a deadline."""

    kind: Literal["offload"] = Field(description="What sort of job it is.")
    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    source: OffloadSourceForm = Field(description="Where items come from.")
    work: CodeForm = Field(description="What a helper does with an item: an item in, a result out.")
    complexity: CodeForm | None = Field(
        None,
        description="How much work an item is, in any unit: an item in, a number out. Default: all alike.",
    )
    sink: CodeForm | None = Field(
        None, description="What is called with each result, on the source's device."
    )
    helpers: Annotated[
        DevicesForm | None, takes_devices("helpers", "all but the source's"), DEVICES_SCHEMA
    ] = Field(
        None,
        description="Devices: a list, or {types: [...]}. Default: all but the source's, switches and routers.",
    )
    deadline: PositiveSeconds = Field(description="From when an item comes until its result is there.")
    late: Literal["discard", "deliver"] = Field("discard", description="What happens to results after that.")
    telemetry: HeardForm = Field(
        default_factory=lambda: HeardForm(every=0.5, delay=0.0), description="What helpers tell."
    )
    most: Count = Field(64, description="Items under way to a helper at most.")
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31)] = Field(0, description="Of what is drawn.")


class PowerForm(_Form):
    """A device's power, declared: beside what it idles at, what computing and sending take."""

    idle: Watts = Field(0.0, description="Watts, always.")
    local: Watts = Field(7.0, description="Watts more while it computes.")
    send: Watts = Field(4.0, description="Watts more while it sends.")


class UserForm(_Form):
    """One source of packets."""

    device: Id = Field(description="Where its packets come from.")
    source: ItemsForm = Field(description="Its packets.")
    mean: Annotated[float, Field(strict=True, gt=0, le=1e9)] | None = Field(
        None, description="Packets a frame, on average. Default: as they come."
    )
    power: PowerForm | None = Field(None, description="Of its device. Default: the job's.")


class FramesForm(_Form):
    """Packets that are to be done within a frame: computed where they come from, sent, or dropped within a rate."""

    kind: Literal["frames"] = Field(description="What sort of job it is.")
    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    users: dict[Id, UserForm] = Field(description="Users by id.", min_length=1)
    work: CodeForm = Field(
        description="What is done with a packet, here or there: a packet in, a result out."
    )
    server: Id | None = Field(None, description="Where packets are sent. Default: the cluster's head.")
    slots: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(5, description="Slots of a frame (T).")
    slot: PositiveSeconds = Field(0.4, description="How long one is; a packet has a frame of these.")
    drop: Fraction = Field(0.1, description="The part of packets that may be dropped (rho).")
    M: Annotated[float, Field(strict=True, ge=0, le=1e9)] = Field(
        5.0,
        description="How much a joule counts against a dropped packet: larger is nearer to the least energy.",
    )
    power: PowerForm = Field(
        default_factory=lambda: PowerForm(idle=0.0, local=7.0, send=4.0), description="Of the users' devices."
    )
    meter: Literal["declared", "sensor"] = Field(
        "declared",
        description="declared: watts by `power`. sensor: the device's own (RAPL, INA), where it has one.",
    )
    link: BitsPerS | None = Field(
        None, description="Of the link that all share. Default: the narrowest on their ways to the server."
    )
    floor: BitsPerS = Field(300e3, description="What a user has for talk while it is granted no slot.")
    frames: Count | None = Field(None, description="End after so many. Default: when no packets come.")
