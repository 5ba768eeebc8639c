"""Whatever happens to a valid file, reading it gives what it describes or a SpecError, nothing else."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from instances import V13, V15

from edgeray.errors import SpecError
from edgeray.spec import App, Cluster, check_job_on_cluster, load_app, load_cluster

ROOT = Path(__file__).parents[3]
JOB = """kind: dataflow
name: people
tasks:
  camera: {device: e4, items_per_s: 30, overflow: drop-oldest, run: "json:dumps", args: {a: [1, 2]}}
  boxes:
    inputs: {camera: 60kB}
    run: json:JSONDecoder
    memory: 500MB
    work: 5GFLOP
  show: {inputs: [boxes], work: 1e6}
"""
CLUSTER = (ROOT / "cluster/testbed/three.yaml").read_text()
EDGES = """# a comment
node decode 5GFLOP memory=200MB device=e4
node detect pi=2s server=500ms
node show 1e9
edge decode detect 600kB
detect show 0
"""
SNIPPETS = [
    "", " ", "\n", "\t", ":", ": ", "- ", "-1", "[", "]", "{", "}", "'", '"', "#", "&a ", "*a", "!!set ", "|", ">", "? ",
    "null", "~", "true", "no", ".nan", ".inf", "1e999", "9" * 30, "0", "e4", "camera", "boxes", "[e4]", "{a: b}",
    "tasks", "inputs", "run", "ends", "\x00", "\ufeff", "\u2028", "é", "<<", "---\n", "...\n", "%YAML 1.1\n", "=",
    "2024-01-01", "0x1f", "1:30", "\\", "${OUTPUT_DIR}", "a" * 70,
]  # fmt: skip

edit = st.tuples(
    st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=6))
)
quick = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def mutated(text: str, edits: list[tuple[float, int, str]]) -> str:
    for place, removed, added in edits:
        at = round(place * len(text))
        text = text[:at] + added + text[at + removed :]
    return text


def read_bytes(
    load: Callable[[Path], App | Cluster], content: bytes, ending: str = "yaml"
) -> App | Cluster | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"file.{ending}"
        file.write_bytes(content)
        try:
            return load(file)
        except SpecError as error:
            assert error.where.startswith(str(folder))
            assert error.expected
            assert error.remedy
            return None


def check_app(app: App | Cluster | None) -> None:
    if app is None:
        return
    assert isinstance(app, App)
    ids = [task.id for task in app.job.tasks]
    assert len(set(ids)) == len(ids)
    assert all(ids.index(flow.producer) < ids.index(flow.consumer) for flow in app.job.flows)
    assert set(app.sources) == {task.id for task in app.job.sources}
    try:
        check_job_on_cluster(app, load_cluster(ROOT / "cluster/testbed/five.yaml"))
    except SpecError as error:
        assert error.remedy


def check_cluster(cluster: App | Cluster | None) -> None:
    if cluster is None:
        return
    assert isinstance(cluster, Cluster)
    assert cluster.head in cluster.network.devices
    assert all(0 < link.capacity_bps <= 1e13 for link in cluster.network.links.values())
    assert all(set(link.ends) <= set(cluster.network.devices) for link in cluster.network.links.values())


def test_the_files_that_are_mutated_are_valid() -> None:
    assert read_bytes(load_app, JOB.encode()) is not None
    assert read_bytes(load_cluster, CLUSTER.encode()) is not None


@quick
@given(st.lists(edit, min_size=1, max_size=4))
def test_mutated_jobs(edits: list[tuple[float, int, str]]) -> None:
    check_app(read_bytes(load_app, mutated(JOB, edits).encode("utf-8", "surrogatepass")))


@quick
@given(st.lists(edit, min_size=1, max_size=4))
def test_mutated_clusters(edits: list[tuple[float, int, str]]) -> None:
    check_cluster(read_bytes(load_cluster, mutated(CLUSTER, edits).encode("utf-8", "surrogatepass")))


@quick
@given(st.lists(edit, min_size=1, max_size=4))
def test_mutated_edge_lists(edits: list[tuple[float, int, str]]) -> None:
    assert read_bytes(load_app, EDGES.encode(), "edges") is not None
    check_app(read_bytes(load_app, mutated(EDGES, edits).encode("utf-8", "surrogatepass"), "edges"))


@quick
@given(st.sampled_from([V13, V15]), st.lists(edit, min_size=1, max_size=4))
def test_mutated_wfcommons_instances(text: str, edits: list[tuple[float, int, str]]) -> None:
    check_app(read_bytes(load_app, mutated(text, edits).encode("utf-8", "surrogatepass"), "json"))


@quick
@given(
    st.one_of(
        st.binary(max_size=60), st.text(alphabet="a:-[]{}&*!'\"|> \n\t#%@,?0", max_size=60).map(str.encode)
    )
)
@example(b"!!binary aGk=")
@example(b"? {a: b}\n: c")
@example(b"tasks: {a: {args: {b: !!python/name:os.system x}}}")
def test_any_bytes(content: bytes) -> None:
    check_app(read_bytes(load_app, content))
    check_app(read_bytes(load_app, content, "json"))
    check_app(read_bytes(load_app, content, "edges"))
    check_cluster(read_bytes(load_cluster, content))


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = [
    "device",
    "seconds",
    "items_per_s",
    "overflow",
    "inputs",
    "work",
    "memory",
    "run",
    "args",
    "type",
    "speed",
    "cpus",
]


@quick
@given(st.integers(0, 60), values)
def test_any_value_anywhere_in_an_instance(place: int, value: object) -> None:
    instance = json.loads(V15)
    holders = [
        (holder, key)
        for holder in containers(instance)
        for key in (holder if isinstance(holder, dict) else range(len(holder)))
    ]
    holder, key = holders[place % len(holders)]
    holder[key] = value
    check_app(read_bytes(load_app, json.dumps(instance).encode(), "json"))


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


@quick
@given(st.sampled_from(KEYS), values)
def test_any_value_for_any_key(key: str, value: object) -> None:
    once = {"mode": "once", "tasks": {"a": {"work": 1, key: value}}}
    check_app(read_bytes(load_app, json.dumps(once).encode()))
    text = json.dumps({"tasks": {"s": {"device": "e4"}, "a": {"inputs": {"s": 1}, "work": 1, key: value}}})
    check_app(read_bytes(load_app, text.encode()))
    device = {"type": "t", "memory": 1, key: value}
    cluster = {
        "head": "a",
        "devices": {"a": device, "b": device},
        "links": [{"ends": ["a", "b"], "capacity": 1}],
    }
    check_cluster(read_bytes(load_cluster, json.dumps(cluster).encode()))
