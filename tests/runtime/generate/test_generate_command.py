"""edgeray generate: files that load, the same from the same options, refusals with exit code 2."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeray.cli import main
from edgeray.generate import thesis_network
from edgeray.spec import check_job_on_cluster, load_app, load_cluster


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


Edgeray = Callable[[str], Done]


@pytest.fixture
def edgeray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgeray:
    monkeypatch.chdir(tmp_path)

    def run(arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["edgeray", "generate", *arguments.split()])
        code = main._run()
        return Done(code, *capsys.readouterr())

    return run


COMMANDS = [
    "network --devices 30 --seed 7",
    "attributes --source d1 --spread 0.3 --seed 7",
    "layered --tasks 60 --seed 7",
    "fork-join --spread 1 --seed 7",
    "chain --mode stream --source d1 --spread 1 --seed 7",
]


def test_the_same_bytes_in_every_process() -> None:
    script = (
        "import sys; from edgeray.cli import main\n"
        f"for command in {COMMANDS!r}:\n"
        "    sys.argv = ['edgeray', 'generate', *command.split()]\n"
        "    assert main._run() == 0\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"# edgeray generate ") == len(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_seed_makes_the_difference(edgeray: Edgeray, command: str) -> None:
    done = edgeray(command)
    assert done.code == 0, done.stderr
    header, _, rest = done.stdout.partition("\n")
    assert header.startswith(f"# edgeray generate {command.split()[0]} ")
    assert header.endswith(" --seed 7")
    assert edgeray(command).stdout == done.stdout
    assert rest != edgeray(command.replace("seed 7", "seed 8")).stdout.partition("\n")[2]


def test_the_command_on_top_makes_the_file_again(edgeray: Edgeray, tmp_path: Path) -> None:
    assert edgeray("layered --tasks 9 --ccr 0.5 --out mine.yaml").code == 0
    first = (tmp_path / "mine.yaml").read_text()
    command = first.split("\n")[0].removeprefix("# edgeray generate ")
    assert edgeray(command).stdout == first


def test_a_network_and_jobs_for_it(edgeray: Edgeray, tmp_path: Path) -> None:
    done = edgeray("network --devices 30 --degree 3 --mbps 20 --seed 1 --out nets/lab.yaml")
    assert done == Done(0, "", "wrote nets/lab.yaml\n")
    cluster = load_cluster(tmp_path / "nets/lab.yaml")
    assert (cluster.name, cluster.head, len(cluster.network.links)) == ("lab", "d0000", 45)
    assert cluster.network.devices == thesis_network(np.random.default_rng(1), 30, 2e7).devices
    for arguments in (
        "attributes",
        "attributes --mode once",
        "layered --memory 10MB",
        "layered --beta 0.5",
        "layered --mode stream --items-per-s 4",
        "fork-join --mode stream --source d0003",
        "chain --seconds 3",
    ):
        done = edgeray(f"{arguments} --cluster nets/lab.yaml --out job.yaml")
        assert done.code == 0, done.stderr
        app = load_app(tmp_path / "job.yaml")
        check_job_on_cluster(app, cluster)
        assert not app.needs_profile
        is_stream = "stream" in arguments or arguments == "attributes"
        assert app.job.mode == ("stream" if is_stream else "once")


def test_many_jobs_are_a_folder(edgeray: Edgeray, tmp_path: Path) -> None:
    assert edgeray("layered --count 3 --tasks 5 --out jobs --name j").code == 0
    files = sorted((tmp_path / "jobs").iterdir())
    assert [file.name for file in files] == ["j-000.yaml", "j-001.yaml", "j-002.yaml"]
    jobs = [load_app(file).job for file in files]
    assert [job.id for job in jobs] == ["j-000", "j-001", "j-002"]
    assert jobs[0].tasks != jobs[1].tasks


def test_a_mix_of_ones_own(edgeray: Edgeray, tmp_path: Path) -> None:
    done = edgeray("network --devices 4 --mix pi=1,cam=3:5GFLOPS:2GB --shape star --deviation 0 --out n.yaml")
    assert done.code == 0, done.stderr
    network = load_cluster(tmp_path / "n.yaml").network
    assert sorted((d.type, d.speed_flop_per_s, d.memory_bytes) for d in network.devices.values()) == [
        *[("cam", 5e9, 2e9)] * 3,
        ("pi", 4e9, 1e9),
    ]
    assert {link.capacity_bps for link in network.links.values()} == {1e7}
    assert "memory: 3GB" in edgeray("network --memory 3GB").stdout


def test_a_file_that_could_not_be_read_back_is_not_written(
    edgeray: Edgeray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeray.spec.yaml_file.MAX_FILE_BYTES", 1000)
    done = edgeray("layered --tasks 100 --out big.yaml")
    assert done.code == 2
    assert "ask for fewer devices, links or tasks" in done.stderr
    assert not (tmp_path / "big.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("chain --mode stream", ["add --source DEVICE"]),
        ("chain --source d1", ["for streams"]),
        ("layered --beta 1", ["add --cluster FILE"]),
        ("chain --count 3", ["need a folder"]),
        ("chain --cluster no.yaml", ["no.yaml", "not there"]),
        ("network --mix pi", ["'pi' is no part of a mix"]),
        ("network --mix lamp=3", ["'lamp=3' is no part of a mix"]),
        ("network --mix pi=1:5GB:1GB", ["unknown unit 'GB'"]),
        ("network --memory 5b", ["--memory: '5b'", "did you mean 'B'"]),
        ("chain --name a/b", ["'a/b' is not usable as a name"]),
        ("chain --out /dev/null/x.yaml", ["cannot be written"]),
        ("fork-join --width 20000 --stages 2", ["at most 20,000"]),
        ("network --devices 1000000", ["--devices"]),
        ("network --devices 9000 --degree 40", ["180,000 links", "at most 50,000"]),
        ("network --devices 3000 --shape clique", ["4,498,500 links"]),
        ("network --shape ring", ["ring"]),
        ("layered --tasks 0", ["--tasks"]),
    ],
)
def test_refusals(edgeray: Edgeray, arguments: str, words: list[str]) -> None:
    done = edgeray(arguments)
    assert done.code == 2, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
