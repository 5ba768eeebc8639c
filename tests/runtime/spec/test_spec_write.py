"""What is written reads back to equal values."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.spec import App, Cluster, cluster_text, job_text, load_app, load_cluster
from policies.model import Device, DeviceId, Flow, Job, JobId, Link, Network, Task, TaskId, link_id

ROOT = Path(__file__).parents[3]
ids = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True),
    st.sampled_from(["no", "null", "1e5", "0", "ON", "12.5", "true", ".1"[1:], "e4", "7-", "node"]),
)
bytes_ = st.one_of(st.floats(0, 1e18), st.integers(0, 10**6).map(lambda n: n * 1e3))
seconds = st.dictionaries(ids, st.floats(0, 1e7), min_size=1, max_size=3)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    names = sorted(draw(st.sets(ids, min_size=1, max_size=6)))
    mode = draw(st.sampled_from(["stream", "once"]))
    flows = []
    for place, consumer in enumerate(names):
        producers = draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        flows += [
            Flow(producer=TaskId(producer), consumer=TaskId(consumer), size_bytes=draw(bytes_))
            for producer in producers
        ]
    tasks = []
    for name in names:
        times = draw(st.none() | seconds)
        tasks.append(
            Task(
                id=TaskId(name),
                memory_bytes=draw(bytes_),
                device=draw(st.none() | ids.map(DeviceId)),
                work_flop=draw(st.floats(0, 1e18) if times is None else st.none() | st.floats(0, 1e18)),
                seconds=times,
            )
        )
    pace = draw(st.none() | st.floats(1e-6, 1e6)) if mode == "stream" else None
    return Job(id=JobId(draw(ids)), tasks=tuple(tasks), flows=tuple(flows), items_per_s=pace, mode=mode)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    names = [
        DeviceId(name)
        for name in sorted(draw(st.sets(ids.filter(lambda id: "-" not in id), min_size=1, max_size=5)))
    ]
    devices = {
        name: Device(
            id=name,
            type=draw(ids),
            speed_flop_per_s=draw(st.floats(0, 1e18)),
            memory_bytes=draw(bytes_),
            cpus=draw(st.floats(0.01, 4096)),
            gpu=draw(st.floats(0, 1024)),
        )
        for name in names
    }
    links = {}
    for place, name in enumerate(names[1:], 1):
        other = draw(st.sampled_from(names[:place]))
        links[link_id(name, other)] = Link(
            ends=(other, name), capacity_bps=draw(st.floats(1e-3, 1e13)), delay_s=draw(st.floats(0, 3600))
        )
    return Network(devices=devices, links=dict(sorted(links.items())))


def read_job(text: str) -> App:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.yaml").write_text(text)
        return load_app(Path(folder) / "x.yaml")


def read_cluster(text: str) -> Cluster:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.yaml").write_text(text)
        return load_cluster(Path(folder) / "x.yaml")


@given(jobs())
def test_jobs_read_back(job: Job) -> None:
    app = read_job(job_text(job, comment="seed: 1\nmade by a test"))
    assert app.job == job
    assert not app.needs_profile


@given(networks(), ids)
def test_clusters_read_back(network: Network, name: str) -> None:
    head = list(network.devices)[-1]
    cluster = read_cluster(cluster_text(network, head, name))
    assert (cluster.network, cluster.head, cluster.name) == (network, head, name)
    assert list(cluster.network.links) == list(network.links)


def test_addresses_read_back() -> None:
    real = load_cluster(ROOT / "cluster/lan.example.yaml")
    text = cluster_text(real.network, real.head, real.name, addresses=real.addresses)
    again = read_cluster(text)
    assert again.addresses == real.addresses
    assert again.network == real.network


def test_numbers_are_written_as_people_would() -> None:
    job = load_app(ROOT / "tests/oracles/fig32").job
    assert "camera: {device: e4, items_per_s: 30, work: 0}" in job_text(job)
    assert "a: {inputs: {camera: 5B}, work: 5FLOP, memory: 1B}" in job_text(job)
    fig32 = load_cluster(ROOT / "cluster/fig32.yaml")
    text = cluster_text(fig32.network, fig32.head, fig32.name, comment="the worked example")
    assert text.startswith("# the worked example\nname: fig32\nhead: e1\ndevices:\n")
    assert "  e1: {type: server, memory: 12B, speed: 200FLOPS}\n" in text
    assert "  - {ends: [e1, e2], capacity: 96bps}\n" in text


@pytest.mark.parametrize("size", [None, 5.0])
def test_a_flow_without_a_size(size: float | None) -> None:
    job = load_app(ROOT / "tests/oracles/fig32").job
    flows = (replace(job.flows[0], size_bytes=size), *job.flows[1:])
    assert f"inputs: {{camera:{'' if size is None else ' 5B'}}}" in job_text(replace(job, flows=flows))
