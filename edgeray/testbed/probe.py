"""Wait until a Ray head lists the named devices as alive. A script of its own: it must start fast in a namespace.

usage: probe.py DASHBOARD_URL TOKEN_FILE TIMEOUT_S DEVICE...
"""

import json
import sys
import time
import urllib.error
import urllib.request

POLL_S = 0.2


def alive(url: str, token: str) -> list[str]:
    """Names of the devices whose nodes are alive, from Ray's state API."""
    request = urllib.request.Request(  # noqa: S310
        f"{url}/api/v0/nodes?limit=1000&detail=1", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        nodes = json.load(answer)["data"]["result"]["result"]
    return sorted(node["node_name"] for node in nodes if node["state"] == "ALIVE")


def main(url: str, token_file: str, timeout_s: str, *devices: str) -> int:
    deadline_s = time.monotonic() + float(timeout_s)
    with open(token_file) as file:  # noqa: PTH123
        token = file.read().strip()
    found: list[str] = []
    problem = ""
    while True:
        try:
            found = alive(url, token)
        except urllib.error.HTTPError as error:
            problem = f"{error}: {error.read(300)!r}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = repr(error)
        if set(devices) <= set(found):
            return 0
        if time.monotonic() > deadline_s:
            missing = ", ".join(device for device in devices if device not in found)
            print(
                f"not there after {timeout_s} s: {missing}; last problem: {problem or 'none'}",
                file=sys.stderr,
            )
            return 1
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
