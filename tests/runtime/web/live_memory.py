"""Half an hour of a big cluster, as fast as it goes, through the page's own server. Prints what it took, as JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import psutil
from live_cluster import FakeCluster

from edgeray.web.live.plain import plain
from edgeray.web.live.server import make_app

SECONDS = 1800


async def main() -> None:
    second = 0.0
    cluster = FakeCluster(devices=10, flows=100, cameras=10, at=lambda: second)

    def ask(method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        return json.loads(json.dumps(plain(cluster(method, *args))))

    app, telemetry = make_app(ask, token="t" * 16, clock=lambda: second)
    early = 0
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
        for at in range(1, SECONDS + 1):
            second = float(at)
            for question in ("network", "jobs", "devices") if at % 4 == 1 else ("devices",):
                telemetry.poll(question)
            if at % 30 == 0:
                now = (await browser.get("/api/now")).json()
                series = [f"cpu:{device['id']}" for device in now["devices"]]
                kept = (
                    await browser.get("/api/history", params={"series": series, "seconds": SECONDS})
                ).json()
                await browser.get("/api/view", params={"job": "reid-3", "camera": "gate-1"})
            if at == 300:
                early = psutil.Process().memory_info().rss
    told = {
        "early_bytes": early,
        "end_bytes": psutil.Process().memory_info().rss,
        "peak_bytes": peak_bytes(),
        "series": len(telemetry.history),
        "links": len(now["links"]),
        "flows": len(now["flows"]),
        "streams": len(now["streams"]),
        "filled": min(sum(value is not None for value in values) for values in kept["series"].values()),
        "steps": min(len(values) for values in kept["series"].values()),
    }
    print(json.dumps(told))


def peak_bytes() -> int:
    """Of this program: what getrusage tells begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    asyncio.run(main())
