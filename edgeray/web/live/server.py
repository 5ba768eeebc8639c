"""The page's server: a few questions over HTTP, answered from what is known, and one order, which needs the token."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Query
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from edgeray import __version__
from edgeray.errors import BadInputError, EdgeRayError
from edgeray.web.live.guard import Guard, may_act
from edgeray.web.live.history import KEPT_S
from edgeray.web.live.pictures import Pictures
from edgeray.web.live.telemetry import Ask, Telemetry
from edgeray.web.live.topology import Topology

STATIC = Path(__file__).parent / "static"
QUERY_TIMEOUT_S = 15.0


def make_app(
    ask: Ask,
    *,
    token: str,
    cluster: str = "",
    head: str = "",
    host: str = "127.0.0.1",
    clock: Callable[[], float] = time.monotonic,
) -> tuple[FastAPI, Telemetry]:
    """The page of one cluster. It asks while the app runs. host: the name under which it is served.

    token: whoever has it may stop jobs. head: the device on which the scheduler is.
    """
    telemetry = Telemetry(ask, clock=clock)
    pictures = Pictures(ask, clock=clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        telemetry.start()
        yield
        telemetry.stop()
        pictures.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(Guard, host=host)
    app.add_exception_handler(EdgeRayError, _as_answer)
    _add_telemetry(app, telemetry, {"version": __version__, "cluster": cluster, "head": head})
    _add_cameras(app, ask, telemetry, pictures)
    _add_orders(app, ask, telemetry, token)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    return app, telemetry


def _add_telemetry(app: FastAPI, telemetry: Telemetry, facts: dict[str, str]) -> None:
    topology = Topology()

    @app.get("/api/now")
    def now() -> JSONResponse:
        return JSONResponse({**facts, **telemetry.now()})

    @app.get("/api/topology")
    def map_of_devices() -> JSONResponse:
        return JSONResponse(topology.of(telemetry.network()))

    @app.get("/api/history")
    def history(
        series: Annotated[list[str], Query(max_length=400)],
        seconds: Annotated[int, Query(ge=10, le=KEPT_S)] = 300,
        points: Annotated[int, Query(ge=2, le=KEPT_S)] = 300,
    ) -> JSONResponse:
        return JSONResponse(asdict(telemetry.excerpt(series, seconds, points)))


def _add_cameras(app: FastAPI, ask: Ask, telemetry: Telemetry, pictures: Pictures) -> None:
    @app.get("/api/view")
    def view(job: str, camera: str) -> JSONResponse:
        if not any(row["job"] == job and row["camera"] == camera for row in telemetry.streams()):
            raise HTTPException(404, f"no camera {camera!r} in a running job {job!r}")
        return JSONResponse(pictures.get(job, camera))

    @app.get("/api/people")
    def people(job: str, person: int | None = None) -> JSONResponse:
        _require_job(telemetry, job)
        return JSONResponse(ask("query", job, person, timeout_s=QUERY_TIMEOUT_S))


def _add_orders(app: FastAPI, ask: Ask, telemetry: Telemetry, token: str) -> None:
    @app.post("/api/jobs/{job:path}/stop")
    def stop(job: str, authorization: Annotated[str | None, Header()] = None) -> JSONResponse:
        if not may_act(authorization, token):
            headers = {"WWW-Authenticate": "Bearer"}
            raise HTTPException(401, "stopping a job needs the token of `edgeray ui`", headers=headers)
        _require_job(telemetry, job)
        ask("stop", job, "stopped on the page")
        return JSONResponse({"job": job})


def _require_job(telemetry: Telemetry, job: str) -> None:
    if not telemetry.knows_job(job):
        raise HTTPException(404, f"no job {job!r}")


def _as_answer(_: Any, error: Exception) -> JSONResponse:
    """What the scheduler raised: 404 for what it does not know, 503 when it does not answer."""
    return JSONResponse({"detail": str(error)}, status_code=404 if isinstance(error, BadInputError) else 503)
