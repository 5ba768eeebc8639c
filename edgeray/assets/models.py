"""The converters: published weights in, ONNX out. Heavy imports wait until a conversion really runs."""

from __future__ import annotations

from collections.abc import Sequence

VERSION = "1"  # raise it when a converter's result changes: cached results are then made anew


def ssdlite_pedestrian(files: Sequence[bytes]) -> bytes:
    """SSDLite-MobileNetV2 for pedestrians: images (1,3,300,300) = RGB * 2/255 - 1.

    Outputs boxes_i (1,n,n,4a) and scores_i (1,n,n,2a) for the grids n = 19,10,5,3,2,1, before decoding:
    box decoding and non-maximum suppression in the frozen graph use control flow, and cost little in numpy.
    """
    from edgeray.assets.tensorflow_graph import read_graph_def
    from edgeray.assets.tensorflow_to_onnx import translate

    (frozen_graph,) = files
    outputs = {}
    for grid in range(6):
        outputs[f"boxes_{grid}"] = f"BoxPredictor_{grid}/BoxEncodingPredictor/BiasAdd"
        outputs[f"scores_{grid}"] = f"BoxPredictor_{grid}/ClassPredictor/BiasAdd"
    graph = read_graph_def(frozen_graph)
    return translate(graph, source="Preprocessor/sub", size=(300, 300), outputs=outputs)


def centernet_coco(files: Sequence[bytes]) -> bytes:
    """CenterNet-MobileNetV3 for COCO's 80 classes: images (1,3,512,512) = RGB in 0..255.

    Outputs keypoints (1,128,128,80), the probability of a centre, and sides (1,128,128,4), the distances in
    input pixels from the centre to the box's sides.
    """
    from edgeray.assets.tensorflow_graph import read_tfjs
    from edgeray.assets.tensorflow_to_onnx import translate

    topology, weights = files
    return translate(
        read_tfjs(topology, weights),
        source="tower_0/images",
        size=(512, 512),
        outputs={"keypoints": "tower_0/keypoints", "sides": "tower_0/wh"},
    )


def mobilenet_v2_features(files: Sequence[bytes]) -> bytes:
    """MobileNetV2: images (n,3,height,width), ImageNet-normalized RGB; output features (n,1280)."""
    from edgeray.assets.mobilenet_v2 import features_model

    (checkpoint,) = files
    return features_model(checkpoint)
