"""The models and data sets that a job of split training can name, and the arguments that make them fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeray.spec.app import Code
from edgeray.spec.training_form import DATASET_NAMES, DatasetForm, DatasetName, ModelForm, ModelName
from edgeray.spec.words import kind_of, listed, remedy_for_name, shorten
from edgeray.spec.yaml_file import Document

_STEMS = ("imagenet", "cifar")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltInModel:
    """run: its factory; keywords: what that takes. small: keywords for small images. side: pixels of the images that it
    takes, of these and no others if only is set, else of these and more. batch_norm: has it BatchNorm?"""

    run: str
    keywords: tuple[str, ...]
    small: Mapping[str, Any] = field(default_factory=dict)
    side: int
    only: bool = False
    batch_norm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltInDataset:
    """run: its factory. train, test: samples, as many of each class. side: pixels of its images."""

    run: str
    train: int
    test: int
    classes: int
    channels: int
    side: int

    def most_samples(self, clients: int, classes_each: int | None) -> int:
        """How many samples each client can have, no sample at two of them.

        A class is shared out among those that have it, and classes as evenly as can be among the clients
        (`partition_by_class`), so the smallest share is of classes that the most clients have.
        """
        even = self.train // clients
        if classes_each is None:
            return even
        owners = -(-clients * classes_each // self.classes)
        return min(even, classes_each * (self.train // self.classes // owners))


def _of_28_pixels(name: str) -> BuiltInModel:
    return BuiltInModel(
        run=f"edgeray.training.models:{name}",
        keywords=("classes", "channels"),
        side=28,
        only=True,
        batch_norm=False,
    )


def _deep(name: str, *, batch_norm: bool, keywords: tuple[str, ...] = ()) -> BuiltInModel:
    return BuiltInModel(
        run=f"edgeray.training.models:{name}",
        keywords=("classes", "channels", "stem", *keywords),
        small={"stem": "cifar"},
        side=32,
        batch_norm=batch_norm,
    )


MODELS: Mapping[ModelName, BuiltInModel] = {
    "lenet": _of_28_pixels("lenet"),
    "mlp": _of_28_pixels("mlp"),
    "cnn": _of_28_pixels("cnn"),
    "vgg16": _deep("vgg16", batch_norm=False),
    "resnet50": _deep("resnet50", batch_norm=True),
    "resnet101": _deep("resnet101", batch_norm=True),
    "mobilenet_v2": _deep("mobilenet_v2", batch_norm=True, keywords=("width",)),
}

DATASETS: Mapping[DatasetName, BuiltInDataset] = {
    "fashion-mnist": BuiltInDataset(
        run="edgeray.training.data:fashion_mnist", train=60_000, test=10_000, classes=10, channels=1, side=28
    ),
    "mnist-5k": BuiltInDataset(
        run="edgeray.training.data:mnist_5k", train=4_000, test=1_000, classes=10, channels=1, side=28
    ),
}


def model_code(document: Document, model: ModelForm, dataset: DatasetForm) -> Code:
    """The model's factory with its arguments: those given, and for a built-in model those that the data set asks for.

    Raises SpecError for arguments that a built-in model does not take or that do not fit the data.
    """
    if model.name is None:
        return Code(run=model.run or "", args=model.args)
    built_in = MODELS[model.name]
    _check_keywords(document, model.name, built_in, model.args)
    data = None if dataset.name is None else DATASETS[dataset.name]
    if data is None:
        for key in ("classes", "channels"):
            if key not in model.args:
                raise document.error(
                    ("model",),
                    f"nothing says how many {key} '{model.name}' has: the data set is your own",
                    expected="the model's `args: {classes: ..., channels: ...}`",
                    remedy=f"write `model: {{name: {model.name}, args: {{classes: 10, channels: 3}}}}`",
                )
        return Code(run=built_in.run, args=model.args)
    args = {"classes": data.classes, "channels": data.channels, **built_in.small, **model.args}
    if args["classes"] < data.classes or args["channels"] != data.channels:
        raise document.error(
            ("model", "args"),
            f"'{model.name}' has {args['classes']} classes and {args['channels']} channels; "
            f"{dataset.name} has {data.classes} and {data.channels}",
            expected=f"classes: {data.classes} or more, channels: {data.channels}",
            remedy="leave them out: the data set gives them",
        )
    return Code(run=built_in.run, args=args)


def dataset_code(document: Document, model: ModelForm, dataset: DatasetForm) -> Code:
    """The data set's factory with its arguments; a built-in one's images are padded to what a built-in model takes.

    Raises SpecError for sizes that the images, or the model, cannot have, and for more classes than there are.
    """
    if dataset.name is None:
        if dataset.padded_to is not None:
            raise document.error(
                ("dataset", "padded_to"),
                "`padded_to` is for the data sets that come with EdgeRay",
                expected=f"it with {listed(DATASET_NAMES)} only",
                remedy="give your own factory what it takes by `args`",
            )
        return Code(run=dataset.run or "", args=dataset.args)
    data = DATASETS[dataset.name]
    if dataset.args:
        raise document.error(
            ("dataset", "args"),
            f"'{dataset.name}' takes no `args`",
            expected="`padded_to` and `classes_per_client` beside its name",
            remedy="remove them",
        )
    if (dataset.classes_per_client or 1) > data.classes:
        raise document.error(
            ("dataset", "classes_per_client"),
            f"{dataset.classes_per_client} classes a client cannot be had: {dataset.name} has {data.classes}",
            expected=f"1 to {data.classes}",
            remedy="correct it, or leave it out: then each client has samples of all classes",
        )
    side = _side(document, model, dataset, data)
    return Code(run=data.run, args={} if side == data.side else {"padded_to": side})


def _side(document: Document, model: ModelForm, dataset: DatasetForm, data: BuiltInDataset) -> int:
    """Pixels of a side of the images that the model gets."""
    built_in = None if model.name is None else MODELS[model.name]
    side = dataset.padded_to
    if side is None:
        return data.side if built_in is None else max(data.side, built_in.side)
    if side < data.side or (side - data.side) % 2:
        raise document.error(
            ("dataset", "padded_to"),
            f"images of {data.side} pixels cannot be padded to {side}",
            expected=f"{data.side}, {data.side + 2}, {data.side + 4} and so on",
            remedy="correct it, or leave it out",
        )
    if built_in is not None and (side < built_in.side or (built_in.only and side != built_in.side)):
        raise document.error(
            ("dataset", "padded_to"),
            f"'{model.name}' does not take images of {side} pixels",
            expected=f"{built_in.side}{'' if built_in.only else ' or more'}",
            remedy="leave it out: then images get the size that the model takes",
        )
    return side


def _check_keywords(document: Document, name: str, model: BuiltInModel, args: Mapping[str, Any]) -> None:
    for key, value in args.items():
        if key not in model.keywords:
            raise document.error(
                ("model", "args", key),
                f"'{name}' takes no '{shorten(key)}'",
                expected=f"one of {listed(model.keywords)}",
                remedy=remedy_for_name(key, model.keywords, "remove it"),
            )
        expected = _unfit(key, value)
        if expected is not None:
            raise document.error(
                ("model", "args", key),
                f"'{key}' of '{name}' is {kind_of(value)}",
                expected=expected,
                remedy="correct it",
            )


def _unfit(key: str, value: Any) -> str | None:
    """What a keyword's value should be; None where it is."""
    if key == "stem":
        return None if value in _STEMS else f"one of {listed(_STEMS)}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key == "width":
        return None if number and 0 < value <= 16 else "a number above 0, at most 16"
    return None if number and isinstance(value, int) and 0 < value <= 10**6 else "a whole number above 0"
