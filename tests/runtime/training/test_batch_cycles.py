"""Training in cycles: who gets which samples, what is learned from it, and who is late."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeray.errors import BadInputError, FlowError
from edgeray.training.aggregate import federated_average
from edgeray.training.batches.coefficients import NEWEST, Coefficients
from edgeray.training.batches.cycles import Cycles
from edgeray.training.batches.data import DealingChannel, DealtData
from edgeray.training.batches.deal import chosen_samples
from edgeray.training.build import build_model, dataset_of, settings_of
from edgeray.training.channel import local_pair
from edgeray.training.cut import WHOLE, whole_model
from edgeray.training.data import Pack, batch_of, packed_samples
from edgeray.training.messages import Dealt
from edgeray.training.recipe import Recipe
from edgeray.training.records import ClientRound
from edgeray.training.server import Server
from edgeray.training.weights import weights_of
from edgeray.training.worker import Worker
from policies.batch.allocation import eta, mel, mel_exact
from policies.batch.instance import BatchInstance, BatchPlan
from policies.model import Cycle, TaskId
from tests.runtime.training.cases import worker_thread
from tests.runtime.training.task_cases import recipe_of

LOSS = torch.nn.functional.cross_entropy
SLOW = {"fast": 0.01, "slow": 0.04}
"""Seconds of a sample's iteration, as they were profiled."""


def cycle_of(sample_s: dict[str, float]) -> Cycle:
    tasks = {TaskId(name): value for name, value in sample_s.items()}
    return Cycle(
        iterations=1,
        samples=dict.fromkeys(tasks, 1),
        predicted_s=dict.fromkeys(tasks, 1.0),
        C2=tasks,
        C1=dict.fromkeys(tasks, 0.001),
        C0=dict.fromkeys(tasks, 0.1),
    )


def client_round(client: str, samples: int, compute_s: float, transfer_s: float) -> ClientRound:
    return ClientRound(
        client=client,
        cut=0,
        samples=samples,
        loss=1.0,
        compute_s=compute_s,
        waiting_s=0.0,
        served_s=0.0,
        queued_s=0.0,
        ended_s=compute_s + transfer_s,
        up_bytes=1,
        down_bytes=1,
    )


# Coefficients


def test_coefficients_begin_as_profiled_and_move_half_way_to_what_is_measured() -> None:
    known = Coefficients(cycle_of(SLOW))
    before = known.instance(["slow", "fast"], 50, 10.0)
    assert before.learners == ("fast", "slow") and before.C2.tolist() == [0.01, 0.04]
    known.measured(client_round("slow", 20, compute_s=20 * 3 * 0.08, transfer_s=2 * (0.1 + 20 * 0.001)), 3)
    after = known.instance(["slow", "fast"], 50, 10.0)
    assert after.C2.tolist() == pytest.approx([0.01, 0.04 + NEWEST * 0.04])
    assert after.C1.tolist() == pytest.approx([0.001, 0.001 * (1 + NEWEST)])
    assert after.C0.tolist() == pytest.approx([0.1, 0.1 * (1 + NEWEST)])


def test_what_a_cycle_took_is_predicted_once_it_was_seen_often() -> None:
    """A device that takes three times as long as profiled, and whose link carries half: the next cycles know it."""
    known = Coefficients(cycle_of(SLOW))
    for _ in range(12):
        instance = known.instance(["slow"], 30, 100.0)
        known.measured(client_round("slow", 30, 30 * 2 * 0.12, 2 * (0.1 + 30 * 0.001)), 2)
    assert instance.seconds(2, [30]) == pytest.approx([30 * 2 * 0.12 + 0.26], rel=1e-3)


def test_a_cycle_in_which_nothing_was_computed_teaches_nothing() -> None:
    known = Coefficients(cycle_of(SLOW))
    known.computed("slow", 0, 3, 1.0)
    known.computed("slow", 3, 0, 1.0)
    known.computed("slow", 3, 3, 0.0)
    same = known.instance(["slow"], 1, 1.0)
    assert (same.C2[0], same.C1[0], same.C0[0]) == (0.04, 0.001, 0.1)


def test_nobody_to_share_out_to() -> None:
    with pytest.raises(ValueError, match="no learner is there"):
        Coefficients(cycle_of(SLOW)).instance([], 50, 10.0)


# Samples on their way


def test_packed_samples_are_those_of_the_data_set() -> None:
    """As bytes of pixels, and where the data set is somebody's own, as they are."""
    images = dataset_of(recipe_of("a"), "train")
    chosen = np.array([5, 2, 80])
    for dataset in (images, [images[index] for index in range(len(images))]):
        pack = packed_samples(dataset, chosen)
        inputs, labels = pack.batch(np.array([2, 0]))
        expected = batch_of(dataset, np.array([80, 5]))
        assert torch.equal(inputs, expected[0]) and torch.equal(labels, expected[1])
    assert packed_samples(images, chosen).inputs.dtype == torch.uint8


def test_more_samples_than_there_are() -> None:
    assert len(set(chosen_samples(recipe_of("a"), 60, 90).tolist())) == 60
    with pytest.raises(BadInputError, match="90 samples to train on, not 91"):
        chosen_samples(recipe_of("a"), 91, 90)


# Cycles


class Held(DealtData):
    """Gives its first batch when it is let go."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.go = threading.Event()
        self.begun = threading.Event()

    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        self.begun.set()
        assert self.go.wait(60)
        yield from super().batches(round_number, epoch)


class Run:
    """An orchestrator, and learners in threads of their own."""

    def __init__(
        self,
        recipe: Recipe,
        decide: Callable[[BatchInstance], BatchPlan],
        *,
        cycle_s: float = 60.0,
        send: bool = True,
        sample_s: dict[str, float] | None = None,
        held: str | None = None,
    ) -> None:
        self.recipe = recipe
        self.model = build_model(recipe)
        self.dataset = dataset_of(recipe, "train")
        self.stopped = threading.Event()
        self.server = Server(
            self.model,
            lambda _: whole_model(self.model),
            loss=LOSS,
            settings=settings_of(recipe),
            patience_s=60.0,
            overhear=lambda *said: self.cycles.overhear(*said),
        )
        self.coefficients = Coefficients(cycle_of(sample_s or dict.fromkeys(recipe.clients, cycle_s / 150)))
        self.cycles = Cycles(
            self.server,
            self.coefficients,
            decide,
            dataset=self.dataset,
            chosen=chosen_samples(recipe, recipe.samples, len(self.dataset)),
            settings=settings_of(recipe),
            cycle_s=cycle_s,
            margin=0.1,
            send=send,
            stopped=self.stopped.is_set,
        )
        self.data: dict[str, DealtData] = {}
        self.threads = [
            self._join(client, Held if client == held else DealtData) for client in recipe.clients
        ]

    def _join(self, client: str, kind: type[DealtData]) -> threading.Thread:
        near, far = local_pair()
        data = kind(
            partial(dataset_of, self.recipe, "train"),
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            learner=client,
        )
        model = build_model(self.recipe)
        self.data[client] = data
        thread = worker_thread(
            Worker(client, data, lambda _: whole_model(model), DealingChannel(near, data), loss=LOSS)
        )
        self.server.join(client, far, WHOLE)
        return thread

    def end(self) -> None:
        for data in self.data.values():
            if isinstance(data, Held):
                data.go.set()
        self.server.finish()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def by_hand(recipe: Recipe, dealt: dict[str, Dealt], tau: int) -> dict[str, Tensor]:
    """A cycle's weights in plain torch: each learner alone on its samples, then their average."""
    results = []
    for client, given in sorted(dealt.items()):
        model = build_model(recipe)
        optimizer = torch.optim.SGD(model.parameters(), recipe.learning_rate, recipe.momentum)
        data = DealtData(
            partial(dataset_of, recipe, "train"),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            learner=client,
        )
        data.deal(replace(given, pack=None))
        for epoch in range(tau):
            for inputs, labels in data.batches(1, epoch):
                optimizer.zero_grad()
                LOSS(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        results.append((weights_of([model]), data.samples))
    return federated_average(results)


@pytest.mark.parametrize("send", [True, False])
def test_a_cycle_is_what_each_learner_makes_of_its_samples_averaged(send: bool) -> None:
    recipe = recipe_of("fast", "slow", samples=60, test_samples=0)
    run = Run(recipe, mel_exact, send=send, sample_s={name: 60 * s for name, s in SLOW.items()})
    dealt: dict[str, Dealt] = {}
    deal = run.cycles._deal
    run.cycles._deal = lambda *args: (dealt.update(deal(*args)), dealt)[1]  # type: ignore[method-assign]
    record = run.cycles.run()
    plan = mel_exact(run_instance(54.0))
    assert record.iterations == plan.tau >= 1
    assert {one.client: one.samples for one in record.clients} == dict(
        zip(("fast", "slow"), plan.batches, strict=True)
    )
    indices = torch.cat([one.indices for one in dealt.values()])
    assert sorted(indices.tolist()) == sorted(chosen_samples(recipe, 60, 90).tolist())
    assert (dealt["fast"].pack is None) == (not send)
    expected = by_hand(recipe, dealt, plan.tau)
    found = run.server.weights
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert set(record.predicted_s) == {"fast", "slow"}
    assert max(record.predicted_s.values()) <= 54 * (1 + 1e-6)
    run.end()


def run_instance(cycle_s: float) -> BatchInstance:
    return Coefficients(cycle_of({name: 60 * s for name, s in SLOW.items()})).instance(
        ["fast", "slow"], 60, cycle_s
    )


def test_samples_are_dealt_out_anew_in_each_cycle() -> None:
    run = Run(recipe_of("a", "b", samples=60, test_samples=0), eta)
    seen = []
    for _ in range(2):
        run.cycles.run()
        seen.append(run.data["a"].labels.tolist())
    assert seen[0] != seen[1]
    run.end()


def test_a_learner_that_gets_no_samples_takes_no_part() -> None:
    """The policy leaves out whom sending the model alone takes the whole cycle."""
    run = Run(
        recipe_of("a", "b", samples=60, test_samples=0),
        mel_exact,
        sample_s={"a": 0.5, "b": 500.0},
    )
    record = run.cycles.run()
    assert [one.client for one in record.clients] == ["a"] and record.clients[0].samples == 60
    assert record.dropped == {} and set(record.predicted_s) == {"a"}
    run.end()


def test_who_is_late_counts_for_nothing_and_comes_back() -> None:
    run = Run(recipe_of("a", "b", samples=60, test_samples=0), eta, cycle_s=3.0, held="b")
    late = run.data["b"]
    assert isinstance(late, Held)
    first = run.cycles.run()
    assert [one.client for one in first.clients] == ["a"]
    assert "3 s" in first.dropped["b"]
    assert run.server.late == ("b",)
    second = run.cycles.run()
    assert [one.client for one in second.clients] == ["a"] and second.clients[0].samples == 60
    before = run.coefficients.instance(["b"], 1, 1.0).C2[0]
    late.go.set()
    while run.server.late:
        run.server.hear(60)
    assert run.coefficients.instance(["b"], 1, 1.0).C2[0] != before  # what it took counts
    for _ in range(20):  # it may be late again: it is as slow as this machine
        third = run.cycles.run()
        if len(third.clients) == 2:
            break
    assert {one.client for one in third.clients} == {"a", "b"}
    run.end()


def test_all_are_late() -> None:
    """Nobody finished: the cycle does not count; the next one waits until somebody is there again."""
    run = Run(recipe_of("a", samples=60, test_samples=0), eta, cycle_s=0.2, held="a")
    late = run.data["a"]
    assert isinstance(late, Held)
    with pytest.raises(FlowError, match="no client finished round 1"):
        run.cycles.run()
    assert run.server.rounds_done == 0
    threading.Thread(target=lambda: late.begun.wait(60) and late.go.set(), daemon=True).start()
    for _ in range(20):
        try:
            record = run.cycles.run()
            break
        except FlowError:
            continue
    assert [one.client for one in record.clients] == ["a"]
    run.end()


def test_a_stopped_run_does_not_wait_for_who_is_late() -> None:
    run = Run(recipe_of("a", samples=60, test_samples=0), eta, cycle_s=0.2, held="a")
    with pytest.raises(FlowError):
        run.cycles.run()
    run.stopped.set()
    with pytest.raises(FlowError, match="no learner is there"):
        run.cycles.run()
    run.end()


@pytest.mark.parametrize("decide", [eta, mel, mel_exact])
def test_a_cycle_into_which_not_one_iteration_fits_is_longer(
    decide: Callable[[BatchInstance], BatchPlan], caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(
        recipe_of("fast", "slow", samples=60, test_samples=0),
        decide,
        cycle_s=0.3,
        sample_s={"fast": 0.05, "slow": 0.2},
    )
    record = run.cycles.run()
    assert record.iterations == 1 and sum(one.samples for one in record.clients) == 60
    assert min(record.predicted_s.values()) > 0.3
    assert "has no plan for a cycle of 0.3 s" in caplog.text
    run.end()


def test_a_pack_travels_over_a_line() -> None:
    from edgeray.training.lines import packed, unpacked

    pack = Pack(
        inputs=torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
        labels=torch.tensor([1, 2]),
        mean=0.5,
        deviation=2.0,
    )
    found = unpacked(packed(Dealt(indices=torch.tensor([3, 4]), pack=pack)))
    assert torch.equal(found.pack.inputs, pack.inputs) and found.pack.mean == 0.5
    assert found.indices.tolist() == [3, 4]
