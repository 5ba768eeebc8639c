"""Whatever happens to a job file of split training, reading it gives a job that fits, or a SpecError."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from test_spec_fuzz import edit, mutated, quick, read_bytes

from edgeray.spec import load_cluster, load_on
from edgeray.training.recipe import Recipe

CLUSTER = load_cluster(Path(__file__).parents[3] / "cluster/testbed/three.yaml")
JOB = """kind: split-training
model: {name: mobilenet_v2, args: {width: 0.5, classes: 10}}
dataset: {name: fashion-mnist, classes_per_client: 5, padded_to: 32}
server: e1
clients: {types: [pi], devices: [e2]}
rounds: 3
batch_size: 16
samples: 640
optimizer: sgd
learning_rate: 0.05
momentum: 0.9
micro_batches: 2
patience: 2min
compress: int8
"""
KINDS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["e1", "lenet", "json:dumps"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "run", "args", "devices", "types", "classes"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)
KEYS = [
    "model",
    "dataset",
    "server",
    "clients",
    "rounds",
    "batch_size",
    "samples",
    "test_samples",
    "momentum",
]
KEYS += ["learning_rate", "seed", "loss", "patience", "keep_optimizer", "compress", "name", "micro_batches"]


def check(content: bytes) -> bool:
    """Whether it is a job; then it fits the cluster and can be told as JSON."""
    app = read_bytes(lambda file: load_on(file, CLUSTER), content)
    if app is None or app.job.training is None:  # type: ignore[union-attr]
        return False
    training = app.job.training  # type: ignore[union-attr]
    recipe = Recipe.of(json.loads(json.dumps(app.code[training.server].args["recipe"])))  # type: ignore[union-attr]
    assert len(training.clients) == len(recipe.clients) == len({*recipe.clients}) >= 1
    assert recipe.samples >= 1 and training.rounds >= 1
    assert all(count >= 1 for count in training.batches.values())
    assert 1 <= training.micro_batches <= recipe.batch_size
    return True


def test_the_file_that_is_mutated_is_valid() -> None:
    assert check(JOB.encode())


@quick
@given(st.lists(edit, min_size=1, max_size=4))
def test_mutated_jobs_of_training(edits: list[tuple[float, int, str]]) -> None:
    check(mutated(JOB, edits).encode("utf-8", "surrogatepass"))


@quick
@given(st.dictionaries(st.sampled_from(KEYS), KINDS, max_size=4))
@example({"model": {"name": []}})
@example({"model": {"args": {"classes": 10**400}, "name": "lenet"}})
@example({"clients": {"devices": {"name": 1}}})
def test_any_value_under_any_key(values: dict[str, object]) -> None:
    document = {"kind": "split-training", "model": "lenet", "dataset": "mnist-5k", **values}
    check(json.dumps(document).encode())
