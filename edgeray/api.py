"""EdgeRay from Python: submit a job file or a Ray DAG, and hold on to the job.

    import edgeray
    job = edgeray.submit("apps/attributes", policy="otfa")
    print(job.wait().phase)

The program runs where the scheduler can be reached: on the head (`edgeray exec -- python program.py`), or as a
Ray job (`ray job submit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeray.client import LEASE_S, Client, results_folder
from edgeray.errors import BadInputError, EdgeRayError
from edgeray.loading import read_job_files
from edgeray.planning import chosen_policy
from edgeray.results import read_values
from edgeray.spec import App
from edgeray.telemetry.rounds import RoundsReader
from policies.model import TRAINS, Mode

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A submitted job."""

    id: str
    _client: Client

    def status(self) -> JobView:
        """The job as it is now; also tells the scheduler that its submitter still lives."""
        view: JobView = self._client.call("renew", self.id)
        return view

    def wait(self) -> JobView:
        """Block until the job has ended."""
        return self._client.watch(self.id, seen=lambda view: None)

    def results(self, folder: str | Path | None = None) -> dict[str, Any]:
        """Wait for a one-shot job, or for training; what a job's sinks returned, by task.

        Arrays, text, bytes and what JSON holds come as such (tuples as lists), files as Paths in folder, by
        default results/JOB. What fits none of these was pickled, and is unpickled here: it is your own code's.
        Raises EdgeRayError when the job was not done or a device that holds a result is gone.
        """
        view = self.wait()
        if view.phase != "done":
            raise EdgeRayError(f"{self.id} has no results: it is {view.phase}: {view.detail}")
        kept = results_folder(self.id) if folder is None else Path(folder)
        outputs = self._client.fetch(self.id, kept)
        if view.mode in TRAINS:
            return {str(output.part): kept / output.file for output in outputs}
        return read_values(kept, outputs)

    def rounds(self) -> list[Mapping[str, Any]]:
        """The rounds of training so far, each as `training.records.RoundRecord` tells it; [] for other jobs.

        Raises ClusterError when the device that trains is gone.
        """
        return list(RoundsReader(self._client.call).read(self.status()))

    def stop(self) -> None:
        """End the job."""
        self._client.call("stop", self.id)

    def logs(self) -> dict[str, Any]:
        """The job's story and what its stages printed."""
        told: dict[str, Any] = self._client.call("logs", self.id)
        return told


def submit(
    job: str | Path | App | Any,
    *,
    policy: str | None = None,
    name: str | None = None,
    mode: Mode = "stream",
    resume: str | None = None,
    detach: bool = False,
) -> JobHandle:
    """Submit an app folder, a job file, or a DAG made with Ray's .bind().

    policy: that of the job's kind unless you say otherwise (`policy_names.DEFAULTS`), such as joint for streams. resume:
    training goes on after this job's last checkpoint.
    name, mode: of the job, for DAGs ("once": each task runs once); files tell theirs. detach: the job outlives this
    program; otherwise it ends 30 s after the last status() or wait().
    Raises SpecError or BadInputError for what is wrong with the input, and ClusterError when there is no cluster
    to submit to.
    """
    lease_s = None if detach else LEASE_S
    if isinstance(job, str | Path):
        files = read_job_files([Path(job)], resume=resume)
        chosen = chosen_policy(policy, files.mode)
        client, [app] = files.opened()
        return JobHandle(client.submit(app, chosen, lease_s=lease_s), client)
    if resume is not None:
        raise BadInputError(f"resume={resume!r}: only a job file of training keeps checkpoints")
    app = _app(job, name, mode)
    chosen = chosen_policy(policy, app.job.mode)
    client = Client(app.folder)
    return JobHandle(client.submit(app, chosen, lease_s=lease_s), client)


def _app(job: Any, name: str | None, mode: Mode) -> App:
    if isinstance(job, App):
        return job
    if hasattr(job, "get_args") or type(job).__module__.startswith("ray.dag"):
        from edgeray.spec.ray_dag import app_from_ray_dag

        return app_from_ray_dag(job, name=name or "dag", mode=mode)
    raise BadInputError(
        f"cannot submit a {type(job).__name__}\n"
        "  expected: the path of an app folder or job file, or a DAG made with Ray's .bind()"
    )
