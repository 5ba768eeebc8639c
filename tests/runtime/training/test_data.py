"""Data sets, who has which samples, and the order of batches."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from edgeray.errors import BadInputError
from edgeray.training.data import (
    batch_of,
    batch_order,
    fashion_mnist,
    labels_of,
    mnist_5k,
    partition_by_class,
    partition_iid,
)
from edgeray.training.models import lenet

DEVICES = tuple(f"pi-{number}" for number in range(8))


def test_fashion_mnist_is_whole_and_normalised() -> None:
    train, test = fashion_mnist("train"), fashion_mnist("test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert np.bincount(train.labels).tolist() == [6_000] * 10
    images, labels = train.batch(np.arange(0, 60_000, 10))
    assert images.shape == (6_000, 1, 28, 28)
    assert labels.tolist() == train.labels[::10].tolist()
    assert abs(float(images.mean())) < 0.02
    assert abs(float(images.std()) - 1) < 0.02


def test_padding_puts_zeros_around() -> None:
    small, large = mnist_5k("test"), mnist_5k("test", padded_to=32)
    (inner, label), (outer, same) = small[7], large[7]
    assert outer.shape == (1, 32, 32)
    assert torch.equal(outer[:, 2:-2, 2:-2], inner)
    assert torch.equal(outer[:, 0], small.batch(np.array([7]))[0].min() * torch.ones(1, 32))
    assert label == same
    with pytest.raises(BadInputError, match="expected: 28, 30, 32"):
        mnist_5k("test", padded_to=31)


def test_digits_are_shared_out_among_training_and_test() -> None:
    train, test = mnist_5k("train"), mnist_5k("test")
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10


def test_lenet_learns_the_digits() -> None:
    torch.manual_seed(0)
    train, test = mnist_5k("train"), mnist_5k("test")
    model = lenet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for indices in batch_order(np.arange(len(train)), 50, seed=0, round_number=0, epoch=0, device="pi"):
        images, labels = train.batch(indices)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    images, labels = test.batch(np.arange(len(test)))
    with torch.no_grad():
        accuracy = (model(images).argmax(1) == labels).float().mean()
    assert accuracy > 0.7  # images and labels belong together; chance is 0.1


@given(
    samples=st.integers(1, 200),
    devices=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_iid_gives_each_sample_to_one_device(samples: int, devices: int, seed: int) -> None:
    names = [f"d{number}" for number in range(devices)]
    if samples < devices:
        with pytest.raises(BadInputError, match="one sample for each"):
            partition_iid([0] * samples, names, np.random.default_rng(seed))
        return
    shares = partition_iid([0] * samples, names, np.random.default_rng(seed))
    assert list(shares) == names
    assert sorted(np.concatenate(list(shares.values()))) == list(range(samples))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(classes=st.integers(1, 12), devices=st.integers(1, 12), seed=st.integers(0, 2**32), data=st.data())
def test_by_class_gives_so_many_classes_a_device(
    classes: int, devices: int, seed: int, data: st.DataObject
) -> None:
    each = data.draw(st.integers(1, classes))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), 30))
    names = [f"d{number}" for number in range(devices)]
    shares = partition_by_class(labels, names, each, np.random.default_rng(seed))
    assert [len(np.unique(labels[shares[name]])) for name in names] == [each] * devices
    used = np.concatenate(list(shares.values()))
    assert len(np.unique(used)) == len(used)
    assert len(np.unique(labels[used])) == min(classes, devices * each)
    if devices * each >= classes:
        assert len(used) == len(labels)


def test_classes_are_drawn_at_random() -> None:
    labels = np.repeat(np.arange(10), 50)
    drawn = {
        tuple(np.unique(labels[partition_by_class(labels, DEVICES, 5, np.random.default_rng(seed))["pi-0"]]))
        for seed in range(20)
    }
    assert len(drawn) > 10


def test_partitions_refuse_what_cannot_be() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(BadInputError, match="expected: 1 to 2"):
        partition_by_class([0, 1, 0, 1], ["a", "b"], 3, rng)
    with pytest.raises(BadInputError, match="class 0 has 1 samples for 2 devices"):
        partition_by_class([0, 1, 1, 1], ["a", "b"], 2, rng)
    with pytest.raises(BadInputError, match="names of their own"):
        partition_iid([0, 1, 0, 1], ["a", "a"], rng)


def test_batches_hold_each_sample_once_with_an_odd_last_one() -> None:
    indices = np.arange(100, 123)
    batches = batch_order(indices, 8, seed=1, round_number=2, epoch=0, device="pi-1")
    assert [len(batch) for batch in batches] == [8, 8, 7]
    assert sorted(np.concatenate(batches)) == indices.tolist()


def test_each_round_epoch_and_device_has_its_own_order() -> None:
    def order(**changes: object) -> tuple[int, ...]:
        chosen = {"seed": 1, "round_number": 2, "epoch": 0, "device": "pi-1"} | changes
        return tuple(np.concatenate(batch_order(np.arange(50), 8, **chosen)))  # type: ignore[arg-type]

    orders = [order(), order(seed=2), order(round_number=3), order(epoch=1), order(device="pi-2")]
    assert len(set(orders)) == 5
    assert order() == orders[0]


def test_the_order_is_the_same_in_another_process() -> None:
    script = (
        "import numpy as np; from edgeray.training.data import batch_order, partition_by_class;"
        "print([b.tolist() for b in batch_order(np.arange(9), 4, seed=1, round_number=2, epoch=0, device='pi')]);"
        "r = partition_by_class([0, 1, 2] * 4, ['a', 'b'], 2, np.random.default_rng(3));"
        "print({k: v.tolist() for k, v in r.items()})"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    here = batch_order(np.arange(9), 4, seed=1, round_number=2, epoch=0, device="pi")
    assert said[0] == said[1]
    assert said[0].splitlines()[0] == str([batch.tolist() for batch in here])


def test_a_users_own_dataset_gives_labels_and_batches() -> None:
    dataset = TensorDataset(torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 2, 0, 1, 2]))
    assert labels_of(dataset).tolist() == [0, 1, 2, 0, 1, 2]
    inputs, labels = batch_of(dataset, np.array([4, 0]))
    assert inputs.tolist() == [[8.0, 9.0], [0.0, 1.0]]
    assert labels.tolist() == [1, 0]
