"""Talking to a cluster's scheduler from a driver process on the head, and from Python programs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeray import __version__
from edgeray.errors import ClusterError, EdgeRayError
from edgeray.node.code import AppPackage, TaskCode
from edgeray.results import Output, kept_as
from edgeray.spec import App, check_runnable
from edgeray.spec.app import NOT_SENT

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView
LEASE_S = 30.0
"""How long an attached job outlives its submitter."""
POLL_S = 1.0
PIECE_BYTES = 256 * 1024
_BATCH = (
    *("model", "model_args", "dataset", "dataset_args", "loss"),
    *("batch_size", "optimizer", "keep_optimizer", "compress"),
)
"""What of a recipe decides how long a batch takes, how many bytes it sends, and what the weights weigh on the wire."""
_PACE = ("items_per_s", "frames", "repeat", "shift_s")
"""What of a camera's source says when its frames come, and not what they are like."""


class Client:
    """A connection to the scheduler. Calls raise what the scheduler raised, or ClusterError when it is gone."""

    def __init__(self, working_dir: Path | None = None) -> None:
        self.package_uri = _connect(working_dir)

    def call(self, method: str, *args: Any, timeout_s: float | None = 120.0, **kwargs: Any) -> Any:
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        from edgeray.actors import NAMESPACE, SCHEDULER

        try:
            scheduler = ray.get_actor(SCHEDULER, namespace=NAMESPACE)
            return ray.get(scheduler.call.remote(method, *args, **kwargs), timeout=timeout_s)
        except RayTaskError as error:
            if isinstance(error.cause, EdgeRayError):
                raise error.cause from None
            raise ClusterError(f"the scheduler failed in {method}: {error.cause!r}") from error
        except ValueError as error:
            raise ClusterError(
                "this Ray cluster has no EdgeRay scheduler\n  remedy:   edgeray up CLUSTER.yaml"
            ) from error
        except GetTimeoutError as error:
            raise ClusterError(f"the scheduler did not answer {method} within {timeout_s:.0f} s") from error
        except RayActorError as error:
            raise ClusterError(
                "the scheduler died while it was asked; it is being started again\n"
                "  remedy:   see `edgeray jobs` for what became of the jobs"
            ) from error

    def package(self, app: App) -> AppPackage:
        """The app as the scheduler takes it. Raises SpecError when a task has no code."""
        check_runnable(app)
        return package_of(app, self.package_uri)

    def submit(self, app: App, policy: str, *, lease_s: float | None = LEASE_S) -> str:
        """Submit the app; the id of the new job. lease_s: see watch; None lets the job live on its own."""
        job: str = self.call("submit", self.package(app), policy, lease_s=lease_s)
        return job

    def fetch(self, job: str, folder: Path) -> tuple[Output, ...]:
        """Bring what a one-shot job's sinks returned into a folder, over the control plane in pieces.

        Raises ClusterError when a device that holds some of it is gone.
        """
        found: list[tuple[str, Output]] = self.call("outputs", job)
        kept = kept_as([output for _, output in found])
        for (device, output), local in zip(found, kept, strict=True):
            path = folder / local.file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while file.tell() < output.size_bytes:
                    piece = self.call("read_output", job, device, output.file, file.tell(), PIECE_BYTES)
                    if not piece:
                        raise ClusterError(f"{device} has only a part of the result {output.file} of {job}")
                    file.write(piece)
        return kept

    def watch(self, job: str, *, seen: Callable[[JobView], bool | None]) -> JobView:
        """Follow a job until it has ended, or seen(view) is True; this keeps the lease alive."""
        while True:
            view: JobView = self.call("renew", job)
            if seen(view) or view.ended:
                return view
            time.sleep(POLL_S)


def package_of(app: App, working_dir: str | None) -> AppPackage:
    code = {}
    for task, named in app.code.items():
        options = app.sources.get(task)
        code[task] = TaskCode(
            run=named.run,
            args=dict(named.args),
            method=named.method,
            items_per_s=options.items_per_s if options else None,
            overflow=options.overflow if options else "block",
        )
    return AppPackage(
        app=str(app.job.id),
        job=app.job,
        code=code,
        working_dir=working_dir,
        fingerprint=fingerprint(app),
        needs_profile=app.needs_profile,
    )


def fingerprint(app: App) -> str:
    """A name for what profiling would measure: the DAG, the code, its arguments, and EdgeRay's own version.

    Of a job that trains a model: the model, the data, and all that one batch takes; not how many there are and of whom.
    Of one that watches cameras: what detects and identifies, and each camera's picture; not where and how often.
    Input files are known by their names in the arguments; `edgeray profile --again` is for when they changed.
    """
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(app.folder.rglob("*.py")):
        digest.update(str(path.relative_to(app.folder)).encode())
        digest.update(path.read_bytes())
    name, told = _measured(app)
    digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    return f"{name}-{digest.hexdigest()[:16]}"


def _measured(app: App) -> tuple[str, Any]:
    """What profiling would measure: a name for people, and all that decides what comes out."""
    if app.job.streams is not None:
        return app.job.id, _watched(app.code[app.job.streams.server].args["recipe"])
    training = app.job.training
    if training is None:
        parts = [(str(task), asdict(code)) for task, code in sorted(app.code.items()) if is_dataclass(code)]
        return app.job.id, [parts, [flow.id for flow in app.job.flows]]
    recipe = app.code[training.server].args["recipe"]
    told = {key: recipe[key] for key in _BATCH}
    # Each makes an update longer, whatever its value; momentum is also sent where it is kept.
    told |= {key: bool(recipe[key]) for key in ("momentum", "weight_decay")}
    return recipe["model"].rpartition(":")[2], told


def _watched(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of a recipe of cameras, what decides how long a frame takes and how many bytes it has."""
    cameras = {
        name: {
            "quality": camera["quality"],
            "source": {key: value for key, value in camera["source"].items() if key not in _PACE},
        }
        for name, camera in recipe["cameras"].items()
    }
    return {"cameras": cameras, **{key: recipe[key] for key in ("detect", "identify")}}


def _connect(working_dir: Path | None) -> str | None:
    """Join the cluster that RAY_ADDRESS names as a driver; the URI under which it holds working_dir."""
    import ray

    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        raise ClusterError("RAY_ADDRESS is not set: no cluster is named\n  remedy:   edgeray up CLUSTER.yaml")
    options: dict[str, Any] = {}
    as_ray_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ  # `ray job submit` has sent the folder already
    if working_dir is not None and not as_ray_job:
        options["runtime_env"] = {"working_dir": str(working_dir), "excludes": list(NOT_SENT)}
    if not ray.is_initialized():
        try:
            ray.init(
                address=address,
                namespace="edgeray",
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **options,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"cannot reach the cluster at {address}: {str(error).splitlines()[0]}\n"
                "  remedy:   `edgeray doctor`; then `edgeray down` and `edgeray up CLUSTER.yaml`"
            ) from error
    uri = ray.get_runtime_context().runtime_env.get("working_dir")
    return str(uri) if uri else None


def results_folder(job: str) -> Path:
    """Where a job's results are kept if nobody says otherwise."""
    return Path("results") / job
