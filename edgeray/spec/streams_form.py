"""The form of job files that watch cameras, `kind: streams`, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from edgeray.spec.named_devices import DEVICES_SCHEMA, DevicesForm, takes_devices
from edgeray.spec.schema import Bytes, Id, ItemsPerS, PositiveSeconds, Run, VirtualSeconds, wrong

KIND = "streams"
DETECT = "edgeray.vision.people:Detect"
EMBED = "edgeray.vision.appearance:Embed"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(each, int | float) and not isinstance(each, bool) for each in value)
    )


def _crop(value: Any) -> Any:
    if value is None:
        return None
    if _numbers(value, 4):
        left, top, right, bottom = value
        if 0 <= left < right <= 1 and 0 <= top < bottom <= 1:
            return tuple(value)
    raise wrong(
        "is no part of a picture",
        expected="[left, top, right, bottom] as fractions of it, such as [0, 0, 0.5, 1] for its left half",
        remedy="write four numbers from 0 to 1, left below right and top below bottom",
    )


def _size(value: Any) -> Any:
    if value is None:
        return None
    if _numbers(value, 2) and all(isinstance(each, int) and 16 <= each <= 8192 for each in value):
        return tuple(value)
    raise wrong(
        "is no size of a picture",
        expected="[width, height] in pixels, 16 to 8,192 each, such as [384, 288]",
        remedy="write two whole numbers",
    )


def _source(value: Any) -> Any:
    """Takes 0 for "0", a camera at this device; refuses what is no text."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 100:
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > 2000:
        raise wrong(
            "is no source",
            expected='an asset, a video, a folder of images, an rtsp:// or http:// URL, or "/dev/video0"',
            remedy="write `source: vtest.avi`, say",
        )
    return value


def _list_of(count: int) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count}
    )


Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Flag = Annotated[bool, Field(strict=True)]
Factor = Annotated[float, Field(strict=True, ge=0, le=10)]
Fraction = Annotated[float, Field(strict=True, gt=0, le=1)]


class PictureForm(_Form):
    """What a camera derives from its source, so that one video serves as many cameras."""

    crop: Annotated[tuple[float, float, float, float] | None, BeforeValidator(_crop), _list_of(4)] = Field(
        None, description="The part that is seen: left, top, right, bottom, as fractions. Default: all."
    )
    size: Annotated[tuple[int, int] | None, BeforeValidator(_size), _list_of(2)] = Field(
        None, description="Width and height in pixels. Default: the source's own."
    )
    shift: VirtualSeconds | None = Field(None, description="A file starts so far from its beginning.")
    hue: Annotated[float, Field(strict=True, ge=-360, le=360)] | None = Field(
        None, description="Colours turned by so many degrees."
    )
    saturation: Factor | None = Field(None, description="Times so much.")
    brightness: Factor | None = Field(None, description="Times so much.")
    tiles: Annotated[int, Field(strict=True, ge=1, le=16)] | None = Field(
        None, description="So many by so many copies of a file, each at another time: a busy place."
    )
    still: Flag | None = Field(None, description="A file's empty street: a quiet place.")


class SceneForm(PictureForm):
    """A stretch of time in which a camera sees something else."""

    for_: PositiveSeconds = Field(alias="for", description="How long.")


class CameraForm(PictureForm):
    """A camera, the source of one stream."""

    device: Id = Field(description="What it is attached to.")
    source: Annotated[
        str,
        BeforeValidator(_source),
        WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]}),
    ] = Field(
        description="An asset, a video or a folder of images (relative to the job file, or absolute and on the "
        "camera's device; videos do not travel with the job), an rtsp:// or http:// URL, or /dev/video0."
    )
    fps: ItemsPerS | None = Field(None, description="Its own frames a second. Default: the source's.")
    loss: Literal["reliable", "drop-oldest"] | None = Field(
        None,
        description="reliable: every frame is processed, a file waits. drop-oldest: a live picture, late frames go. "
        "Default: reliable for files, drop-oldest for URLs and local devices.",
    )
    buffer: Annotated[int, Field(strict=True, ge=1, le=10_000)] = Field(
        30, description="Frames kept while the pipeline is behind."
    )
    frames: Count | None = Field(
        None, description="Stop after so many. Default: a file once, a live source for ever."
    )
    repeat: Flag = Field(False, description="A file starts again at its end.")
    quality: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(
        80, description="Of JPEG, where frames leave the device."
    )
    scenes: list[SceneForm] = Field(
        default_factory=list, max_length=10_000, description="What it sees in turn, over and over."
    )


class DetectForm(_Form):
    """What finds people: a picture in, (boxes, scores) out."""

    run: Run = Field(DETECT, description="module:Class, or module:function.")
    args: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the class.")
    memory: Bytes = Field(0.0, description="Of one detector; each stream has its own. Default: as measured.")


class IdentifyForm(_Form):
    """What tells people apart: pictures of them in, features out. All streams of a device share one."""

    run: Run = Field(EMBED, description="module:Class, or module:function.")
    args: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the class.")
    memory: Bytes = Field(0.0, description="Of one model, for all streams of a device. Default: as measured.")


class TrackForm(_Form):
    """How people are followed from frame to frame. What is left out is as edgeray.vision.tracking has it."""

    confirm: Count | None = Field(None, description="Frames until a track counts.")
    forget: PositiveSeconds | None = Field(None, description="A track that is not seen for so long ends.")
    max_cost: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = Field(
        None, description="The most at which a box still belongs to a track."
    )


class GalleryForm(_Form):
    """How people are known again. What is left out is as edgeray.vision.gallery has it."""

    threshold: Fraction | None = Field(None, description="Features that are so much alike are one person's.")
    keep: Count | None = Field(None, description="Features kept of a person.")


class ReplanForm(_Form):
    """When streams and models move while the job runs."""

    gain: Annotated[float, Field(strict=True, ge=0, le=1000)] = Field(
        0.1, description="A plan must promise so much more, as a fraction."
    )
    settle: PositiveSeconds = Field(10.0, description="The least time between two moves.")


def _replan(value: Any) -> Any:
    """Takes false for None (never), true for what is usual."""
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict):
        raise wrong(
            "says not when to move",
            expected="{gain: FRACTION, settle: SECONDS}, or false for never",
            remedy="write `replan: {gain: 0.1, settle: 10s}`, or leave it out",
        )
    return value


class StreamsForm(_Form):
    """Cameras, whose people are found, followed, and known again."""

    kind: Literal["streams"] = Field(description="What sort of job it is.")
    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    cameras: dict[Id, CameraForm] = Field(description="Cameras by id.", min_length=1)
    detect: DetectForm = Field(
        default_factory=lambda: DetectForm(run=DETECT, memory=0.0),
        description="What finds people in a frame.",
    )
    identify: IdentifyForm = Field(
        default_factory=lambda: IdentifyForm(run=EMBED, memory=0.0),
        description="What tells people apart, once for each new track.",
    )
    track: TrackForm = Field(
        default_factory=lambda: TrackForm(confirm=None, forget=None, max_cost=None),
        description="How people are followed.",
    )
    gallery: GalleryForm = Field(
        default_factory=lambda: GalleryForm(threshold=None, keep=None),
        description="How people are known again.",
    )
    again: PositiveSeconds | None = Field(
        None, description="A track is identified again after so long. Default: once for each new track."
    )
    devices: Annotated[
        DevicesForm | None, takes_devices("devices", "all but switches and routers"), DEVICES_SCHEMA
    ] = Field(
        None,
        description="Which may compute: a list, or {types: [...]}. Default: all but those of type switch or "
        "router. Cameras' devices and the server take part in any case.",
    )
    server: Id | None = Field(
        None, description="Device with the gallery and the archive. Default: the cluster's head."
    )
    sync: PositiveSeconds = Field(10.0, description="Devices bring the server what they stored, so often.")
    replan: Annotated[
        ReplanForm | None,
        BeforeValidator(_replan),
        WithJsonSchema({"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/ReplanForm"}]}),
    ] = Field(
        default_factory=lambda: ReplanForm(gain=0.1, settle=10.0),
        description="When streams and models move while the job runs; false: never.",
    )
