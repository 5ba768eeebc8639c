"""The form of job files of split training, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from edgeray.spec.named_devices import DEVICES_SCHEMA, DevicesForm, takes_devices
from edgeray.spec.schema import BitsPerS, Id, PositiveSeconds, Run, wrong
from edgeray.spec.words import listed, remedy_for_name, shorten

KIND = "split-training"
ModelName = Literal["lenet", "mlp", "cnn", "vgg16", "resnet50", "resnet101", "mobilenet_v2"]
DatasetName = Literal["fashion-mnist", "mnist-5k"]
MODEL_NAMES: tuple[ModelName, ...] = get_args(ModelName)
DATASET_NAMES: tuple[DatasetName, ...] = get_args(DatasetName)
CROSS_ENTROPY = "cross-entropy"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartsForm(_Form):
    """What A and C are sums of, for edgesplit-overlap; then A and C may be left out."""

    device_s: Any = Field(description="Seconds of the device, by device and cut.")
    server_s: Any = Field(description="Seconds of the server, by cut, or by device and cut.")
    up_bits: Any = Field(description="Bits to the server, by cut, or by device and cut.")
    down_bits: Any = Field(description="Bits from the server, by cut, or by device and cut.")
    servers: int = Field(1, ge=1, le=10**6, description="Devices that the server computes for side by side.")
    full_duplex: bool = Field(False, description="Each direction has total_bps to itself.")
    micro_batches: int = Field(1, ge=1, le=10**6, description="Pieces of a batch under way at a time.")


class DeclaredForm(_Form):
    """The numbers of a round, in place of a model to measure."""

    A: Any = Field(None, description="Seconds of computing a round: a list of cuts for each device.")
    C: Any = Field(
        None, description="Bits sent a round, up and down: by cut, or a list of cuts for each device."
    )
    total_bps: BitsPerS = Field(description="What all devices share, in bits per second.")
    rate_unit_bps: BitsPerS | None = Field(None, description="Rates are whole multiples of it.")
    rate_caps_bps: Any = Field(
        None, description="The most that a device can have: one for all, or by device."
    )
    memory_bytes: Any = Field(None, description="Memory that training takes on the device, by cut.")
    device_memory_bytes: Any = Field(None, description="Memory of the devices: one for all, or by device.")
    layers: list[int] | None = Field(None, description="Layers on the device, by cut; else 1, 2, ...")
    parts: PartsForm | None = None


class DeclaredJobForm(_Form):
    """Split training from declared numbers: it can be planned, not run."""

    kind: Literal["split-training"]
    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    declared: DeclaredForm


def _named(known: tuple[str, ...]) -> BeforeValidator:
    """Takes a text for {name: ...} or, with a colon, for {run: ...}; refuses unknown names and both at once."""

    expected = f"one of {listed(known)}, or module:factory"

    def normal(value: Any) -> Any:
        if isinstance(value, str):
            given = {"run" if ":" in value else "name": value}
        elif isinstance(value, dict):
            given = value
        else:
            raise wrong("is no name", expected=expected, remedy=f"name one of them, such as {known[0]}")
        name = given.get("name")
        if name is not None and name not in known:
            named = "" if given is not value else f"names {shorten(repr(name))}, which "
            raise wrong(
                f"{named}does not come with EdgeRay",
                expected=expected,
                remedy=remedy_for_name(str(name), known, "name one of them, or your own as module:factory"),
            )
        if (name is None) == (given.get("run") is None) and given.keys() <= {"name", "run", "args"}:
            raise wrong(
                f"has {'neither `name` nor' if name is None else 'both `name` and'} `run`",
                expected=f"`name`, one of {listed(known)}; or `run`, module:factory",
                remedy="write `name: ...` or `run: module:factory`",
            )
        return given

    return BeforeValidator(normal)


def _named_schema(known: tuple[str, ...], form: str) -> WithJsonSchema:
    texts = [{"enum": list(known)}, {"type": "string", "pattern": ":"}]
    return WithJsonSchema({"anyOf": [*texts, {"$ref": f"#/$defs/{form}"}]})


class _Named(_Form):
    """A thing that comes with EdgeRay (name), or one's own (run)."""

    run: Run | None = Field(None, description="One's own, module:factory.")
    args: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")


class ModelForm(_Named):
    """What is trained: a factory of an nn.Module that takes one tensor and gives logits."""

    name: ModelName | None = Field(None, description="One that comes with EdgeRay.")


class DatasetForm(_Named):
    """What it is trained on: a factory, called with "train" or "test", of a Dataset of (input, label)."""

    name: DatasetName | None = Field(None, description="One that comes with EdgeRay.")
    classes_per_client: Annotated[int, Field(strict=True, ge=1, le=10**6)] | None = Field(
        None, description="Each client has samples of so many classes only. Default: all alike (IID)."
    )
    padded_to: Annotated[int, Field(strict=True, ge=1, le=4096)] | None = Field(
        None, description="Pixels of a side, zeros around. Default: what the model takes."
    )


def _loss(value: Any) -> Any:
    return None if value == CROSS_ENTROPY else value


Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Loss = Annotated[
    Run | None,
    BeforeValidator(_loss),
    WithJsonSchema({"anyOf": [{"const": CROSS_ENTROPY}, {"type": "string", "pattern": ":"}]}),
]


class LearningForm(_Form):
    """What all kinds of training say: the model, the data, and how weights are updated."""

    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    model: Annotated[ModelForm, _named(MODEL_NAMES), _named_schema(MODEL_NAMES, "ModelForm")] = Field(
        description="What is trained."
    )
    dataset: Annotated[DatasetForm, _named(DATASET_NAMES), _named_schema(DATASET_NAMES, "DatasetForm")] = (
        Field(description="What it is trained on.")
    )
    server: Id | None = Field(
        None, description="Device that averages the weights. Default: the cluster's head."
    )
    batch_size: Count = Field(32, description="Samples of a step.")
    test_samples: Annotated[int, Field(strict=True, ge=0, le=10**9)] | None = Field(
        None,
        description="The averaged model is tried on so many after each round. 0: on none. Default: 1000.",
    )
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="How weights are updated.")
    learning_rate: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = Field(
        0.01, description="The optimizer's."
    )
    momentum: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(0.0, description="Of sgd.")
    weight_decay: Amount = Field(0.0, description="The optimizer's.")
    loss: Loss = Field(
        None, description="module:function of (logits, labels), the mean of a batch. Default: cross-entropy."
    )
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = Field(0, description="Of all that is random.")
    patience: PositiveSeconds | None = Field(
        None, description="A client that is silent for so long is dropped. Default: by the plan."
    )


class TrainingForm(LearningForm):
    """Training of one model by many devices and a server."""

    kind: Literal["split-training"] = Field(description="What sort of job it is.")
    server: Id | None = Field(None, description="Device that trains the rest. Default: the cluster's head.")
    clients: Annotated[
        DevicesForm | None, takes_devices("clients", "all devices but the server"), DEVICES_SCHEMA
    ] = Field(
        None,
        description="Devices with data: a list, or {types: [...]}. Default: all but the server, and but "
        "those of type switch or router.",
    )
    rounds: Count = Field(10, description="Rounds: all clients train, then their weights are averaged.")
    epochs: Count = Field(1, description="Passes over a client's samples in a round.")
    samples: Count | None = Field(
        None, description="Of each client. Default: the dataset shared out; one's own dataset must say it."
    )
    keep_optimizer: Annotated[bool, Field(strict=True)] = Field(
        False, description="Momentum and the like live on from round to round; they travel with the weights."
    )
    server_mode: Literal["nonpipe", "splitpipe-rw", "splitpipe-bf", "run-to-completion"] = Field(
        "run-to-completion", description="In which order the server works on its clients' batches."
    )
    compress: Literal["int8"] | None = Field(
        None, description="Activations and gradients as 8-bit integers: a quarter of the bytes."
    )
    micro_batches: Annotated[int, Field(strict=True, ge=1, le=10**6)] | None = Field(
        None,
        description="Pieces of a batch that edgesplit-overlap has under way at a time. Default: 4, or 1 where the "
        "model has BatchNorm, whose statistics pieces change.",
    )
