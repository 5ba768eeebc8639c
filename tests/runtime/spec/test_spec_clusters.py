import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from edgeray.spec import Cluster, json_schema, load_cluster
from edgeray.spec.yaml_file import read_yaml
from policies.model import Device, Link

Load = Callable[[str], Cluster]
Refuse = Callable[..., object]
FOLDER = Path(__file__).parents[3] / "cluster"

GOOD = """
head: e1
devices:
  e4: {type: pi, speed: 25, memory: 1GB, cpus: 0.1}
  e1: {type: server, speed: 200GFLOPS, memory: 12GiB, cpus: 8, gpu: 1}
links:
  - {ends: [e4, e1], capacity: 10Mbps, delay: 5ms}
"""


def test_a_cluster(cluster: Load) -> None:
    loaded = cluster(GOOD)
    assert loaded.name == "lab"
    assert loaded.head == "e1"
    assert loaded.addresses == {}
    assert list(loaded.network.devices) == ["e1", "e4"]
    assert loaded.network.devices["e1"] == Device(  # type: ignore[index]
        id="e1",
        type="server",
        speed_flop_per_s=2e11,
        memory_bytes=12 * 2**30,
        cpus=8,
        gpu=1,  # type: ignore[arg-type]
    )
    assert loaded.network.links == {
        "e1-e4": Link(ends=("e1", "e4"), capacity_bps=1e7, delay_s=0.005)  # type: ignore[arg-type]
    }


def test_a_real_cluster_has_addresses(cluster: Load) -> None:
    text = GOOD.replace("type: pi", "address: 10.0.0.4, type: pi").replace(
        "type: s", "address: desk.lan, type: s"
    )
    assert cluster(text).addresses == {"e1": "desk.lan", "e4": "10.0.0.4"}


def test_one_device_is_a_cluster(cluster: Load) -> None:
    loaded = cluster("head: e1\ndevices: {e1: {type: server, memory: 1GB}}\n")
    assert loaded.network.links == {}
    assert loaded.network.devices["e1"].speed_flop_per_s == 0  # type: ignore[index]


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


MORE = "  - {ends: [e4, e1], capacity: 10Mbps, delay: 5ms}\n"
BAD = [
    ("unknown key", replaced("head:", "haed:"), 1, ["unknown key 'haed'", "did you mean 'head'?"]),
    ("unknown device key", replaced("gpu", "gpus"), 4, ["unknown key 'gpus' in device 'e1'", "'gpu'?"]),
    ("unknown link key", replaced("delay", "dleay"), 6, ["unknown key 'dleay' in link 1", "'delay'?"]),
    ("no head", replaced("head: e1", "name: x"), 1, ["has no 'head'"]),
    ("head unknown", replaced("head: e1", "head: e2"), 1, ["head 'e2' is no device", "e1, e4"]),
    ("no memory", replaced(", memory: 1GB", ""), 3, ["device 'e4' has no 'memory'"]),
    ("no type", replaced("type: pi, ", ""), 3, ["device 'e4' has no 'type'"]),
    ("no devices", "head: e1\ndevices: {}\n", 2, ["'devices' is empty"]),
    ("negative memory", replaced("1GB", "-1GB"), 3, ["memory of device 'e4': '-1GB' is negative"]),
    ("zero cpus", replaced("0.1", "0"), 3, ["cpus of device 'e4'", "zero"]),
    ("absurd speed", replaced("speed: 25", "speed: 1e19"), 3, ["speed of device 'e4'", "absurd"]),
    ("absurd link", replaced("10Mbps", "11Tbps"), 6, ["capacity of link 1: '11Tbps'", "absurd", "10Tbps"]),
    ("zero link", replaced("10Mbps", "0"), 6, ["capacity of link 1", "zero"]),
    ("bytes for bits", replaced("10Mbps", "10MBps"), 6, ["did you mean 'Mbps'?"]),
    ("negative delay", replaced("5ms", "-5ms"), 6, ["delay of link 1", "negative"]),
    ("one end", replaced("[e4, e1]", "[e4]"), 6, ["ends", "two device ids"]),
    ("three ends", replaced("[e4, e1]", "[e4, e1, e1]"), 6, ["ends", "two device ids"]),
    ("ends text", replaced("[e4, e1]", "e4-e1"), 6, ["ends", "two device ids"]),
    (
        "unknown end",
        replaced("[e4, e1]", "[e4, e11]"),
        6,
        ["'e11', which is no device", "did you mean 'e1'?"],
    ),
    ("self link", replaced("[e4, e1]", "[e4, e4]"), 6, ["joins 'e4' with itself"]),
    (
        "link twice",
        GOOD.lstrip("\n") + MORE.replace("e4, e1", "e1, e4"),
        7,
        ["'e1-e4' is given twice", "line 6", "line 7"],
    ),
    ("device twice", replaced("  e1: {", "  e4: {"), 4, ["'e4' is given twice", "line 3", "line 4"]),
    ("bad id", replaced("  e4: {", "  e/4: {"), 3, ["'e/4' is not usable as an id"]),
    ("disconnected", replaced(MORE, "").replace("links:", "links: []"), 3, ["disconnected", "'e1' to e4"]),
    ("links nothing", replaced(MORE, ""), 5, ["'links' is empty"]),
    ("one address", replaced("type: pi", "type: pi, address: 10.0.0.4"), 4, ["'e1' has no address", "'e4'"]),
    (
        "bad address",
        replaced("type: pi", "type: pi, address: 10.0.0.400"),
        3,
        ["is no address", "without a port"],
    ),
    ("port", replaced("type: pi", "type: pi, address: '10.0.0.4:22'"), 3, ["is no address"]),
    ("device empty", "head: e1\ndevices:\n  e1:\n", 3, ["device 'e1' is empty"]),
]


@pytest.mark.parametrize(("text", "line", "words"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_bad_clusters_are_refused(
    cluster: Load, refuse: Refuse, text: str, line: int, words: list[str]
) -> None:
    refuse(cluster, text, line=line, words=words)


def test_the_same_address_twice(cluster: Load, refuse: Refuse) -> None:
    text = GOOD.replace("type: ", "address: 10.0.0.4, type: ")
    refuse(cluster, text, line=4, words=["'e4' and 'e1' have the same address 10.0.0.4"])


def test_links_that_would_share_an_id(cluster: Load, refuse: Refuse) -> None:
    text = """
    head: a
    devices: {a: {type: t, memory: 1}, a-b: {type: t, memory: 1}, b-c: {type: t, memory: 1}, c: {type: t, memory: 1}}
    links:
      - {ends: [a, b-c], capacity: 1Mbps}
      - {ends: [a-b, c], capacity: 1Mbps}
    """
    refuse(cluster, text, line=5, words=["both be called 'a-b-c'"])


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.yaml")), ids=lambda file: file.name)
def test_the_clusters_we_ship_load(file: Path) -> None:
    loaded = load_cluster(file)
    types: dict[str, tuple[float, float, float]] = {}
    for device in loaded.network.devices.values():
        hardware = (device.speed_flop_per_s, device.cpus, device.gpu)
        assert types.setdefault(device.type, hardware) == hardware, "a profile holds for a whole type"


def test_the_worked_example_has_the_papers_numbers() -> None:
    loaded = load_cluster(FOLDER / "fig32.yaml")
    devices = loaded.network.devices.values()
    assert [device.speed_flop_per_s for device in devices] == [200, 30, 30, 25, 20]
    assert [device.memory_bytes for device in devices] == [12, 4, 4, 2, 2]
    bytes_per_s = {link.ends: link.capacity_bps / 8 for link in loaded.network.links.values()}
    assert bytes_per_s == {
        ("e1", "e2"): 12,
        ("e2", "e4"): 10,
        ("e1", "e3"): 8,
        ("e3", "e4"): 6,
        ("e1", "e5"): 4,
    }


@pytest.mark.parametrize("which", ["job", "cluster"])
def test_the_schema_is_json_and_lists_the_keys(which: str) -> None:
    schema = json_schema(which)
    assert json.loads(json.dumps(schema)) == schema
    form = schema if which == "cluster" else schema["$defs"]["JobForm"]
    assert form["additionalProperties"] is False
    keys = {"job": ["kind", "mode", "name", "tasks"], "cluster": ["devices", "head", "links", "name"]}
    assert sorted(form["properties"]) == keys[which]
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.yaml")), ids=lambda file: file.name)
def test_the_clusters_we_ship_fit_the_schema(file: Path) -> None:
    jsonschema.validate(read_yaml(file, expected="").value, json_schema("cluster"))


def test_the_schema_tells_bad_files_from_good_ones() -> None:
    schema = json_schema("job")
    task = {"device": "e4", "items_per_s": 30, "memory": "5MB", "inputs": ["a"], "args": {"x": [1]}}
    jsonschema.validate({"tasks": {"a": task, "b": {"inputs": {"a": "5B", "c": None}}}}, schema)
    for bad in ({"memroy": 1}, {"overflow": "drop"}, {"run": "tasks.py"}, {"work": -1}, {"device": "a b"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"tasks": {"a": bad}}, schema)


def test_long_lists_are_cut_short(cluster: Load, refuse: Refuse) -> None:
    devices = "".join(f"  e{n}: {{type: t, memory: 1}}\n" for n in range(100))
    error = refuse(cluster, f"head: x\ndevices:\n{devices}", line=1, words=["e0, e1, e10", "(100 in all)"])
    assert len(str(error)) < 300


def test_there_is_no_other_schema() -> None:
    with pytest.raises(ValueError, match="job and cluster"):
        json_schema("jobs")
