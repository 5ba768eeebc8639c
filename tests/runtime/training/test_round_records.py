"""Records of rounds: a client's round in parts, and there and back through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgeray.training.records import ClientRound, RoundRecord
from edgeray.training.settings import Settings
from tests.runtime.training.cases import Data, residual, train

CLIENT = ClientRound(
    client="a",
    cut=2,
    samples=13,
    loss=1.5,
    compute_s=2.0,
    waiting_s=3.0,
    served_s=1.0,
    queued_s=0.5,
    ended_s=6.0,
    up_bytes=10,
    down_bytes=20,
)


def test_what_is_neither_computing_nor_the_server_is_transfer_until_its_weights_came() -> None:
    assert (CLIENT.server_s, CLIENT.transfer_s, CLIENT.idle_s(10.0)) == (1.5, 2.5, 4.0)


def test_a_server_that_worked_behind_the_clients_own_computing_is_what_the_client_waited() -> None:
    hidden = replace(CLIENT, waiting_s=0.25, served_s=3.0)
    assert (hidden.server_s, hidden.transfer_s) == (0.25, 3.75)


def test_clocks_that_are_a_little_off_make_no_part_negative() -> None:
    off = replace(CLIENT, compute_s=5.0, ended_s=5.9)
    assert off.transfer_s == 0.0
    assert off.idle_s(5.8) == 0.0


def test_a_record_comes_back_from_its_json() -> None:
    (record,) = train(residual, {"a": Data(1), "b": Data(2)}, {"a": 2, "b": 6}, Settings(), rounds=1)[1]
    told = json.loads(json.dumps(record.as_json()))
    assert RoundRecord.of(told) == record
    for one in told["clients"]:
        parts = one["compute_s"] + one["server_s"] + one["transfer_s"] + one["idle_s"]
        assert parts == pytest.approx(record.seconds_s)
