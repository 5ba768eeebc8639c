"""ui: the runtime's live page, in a browser."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeray.cli.console import print_json, say
from edgeray.cli.enter import head_process
from edgeray.errors import BadInputError, ClusterError

if TYPE_CHECKING:
    from edgeray.web.live.telemetry import Telemetry

PORT = 8266
GONE_S = 120.0
CONNECT_S = 60.0
_SHORTEST_TOKEN = 16
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout: the page's url and its token.")
]


def add_commands(app: typer.Typer) -> None:
    app.command()(ui)


def ui(
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Anyone who reaches it can look; 0.0.0.0 is every address."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that stopping a job needs; a new one at each start unless you say."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the cluster live in a browser: devices, jobs, flows, cameras, and who went where. Ctrl-C ends it.

    Whoever opens the printed address may also stop jobs; without the token that it carries, the page is read-only.
    """
    token = read_token(token_file) if token_file else secrets.token_urlsafe(24)
    listener = listen(host, port)
    with listener:
        serve(listener, host, token, as_json)


def read_token(file: Path) -> str:
    """The token in file. Raises BadInputError when there is none that is long enough."""
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"--token-file {file}: {getattr(error, 'strerror', None) or 'not a text file'}\n"
            "  expected: a file with the token alone\n"
            f"  remedy:   openssl rand -hex 24 > {file}"
        ) from error
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(char.isspace() for char in token):
        raise BadInputError(
            f"--token-file {file}: its token has {len(token)} characters\n"
            f"  expected: at least {_SHORTEST_TOKEN} ASCII characters, no spaces\n"
            f"  remedy:   openssl rand -hex 24 > {file}"
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadInputError when the address is taken, or not this machine's."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> BadInputError:
    if error.errno == errno.EADDRINUSE:
        remedy = "edgeray ui --port 0 takes a free one; or end what listens there (another edgeray ui?)"
    elif error.errno == errno.EACCES:
        remedy = "edgeray ui --port 0, or any port above 1023"
    else:
        remedy = "--host 127.0.0.1 for this machine alone, --host 0.0.0.0 for all its addresses"
    return BadInputError(
        f"cannot listen on {host} port {port}: {error.strerror}\n"
        f"  expected: a free port of an address of this machine\n  remedy:   {remedy}"
    )


def serve(listener: socket.socket, host: str, token: str, as_json: bool) -> None:
    """Serve the page until Ctrl-C. Raises ClusterError when no cluster is up, or it stays away."""
    import uvicorn

    from edgeray.web.live.connection import Connection
    from edgeray.web.live.server import make_app

    connection = Connection(lambda: head_process([sys.executable, "-m", "edgeray.web.live.bridge"]))
    try:
        connection("network", timeout_s=CONNECT_S)
        _, environment = head_process([])
        app, telemetry = make_app(
            connection,
            token=token,
            cluster=environment.get("EDGERAY_CLUSTER", ""),
            head=environment.get("EDGERAY_DEVICE", ""),
            host=host,
        )
        # Browsers keep connections open; nobody waits for them at the end.
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, lifespan="on")
        server = uvicorn.Server(config)
        lost = threading.Event()
        threading.Thread(target=_watch, args=(telemetry, server, lost), daemon=True).start()
        _announce(listener, host, token, as_json)
        # The server ends well on the first Ctrl-C, and may pass it on or keep it.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        if lost.is_set():
            raise ClusterError(
                f"the cluster has not answered for {GONE_S:.0f} s, so the page is closed\n"
                "  remedy:   edgeray up CLUSTER.yaml, then edgeray ui"
            )
        say("the page is closed")
    finally:
        connection.close()


def _watch(telemetry: Telemetry, server: Any, lost: threading.Event) -> None:
    """End the server when the cluster stays away. Runs beside it."""
    while not server.should_exit:
        if telemetry.silent_s() > GONE_S:
            lost.set()
            server.should_exit = True
        lost.wait(1.0)


def _announce(listener: socket.socket, host: str, token: str, as_json: bool) -> None:
    url = page_url(host, listener.getsockname()[1], token)
    if as_json:
        print_json({"url": url, "token": token})
    else:
        sys.stdout.write(url + "\n")
    sys.stdout.flush()
    if host not in _LOOPBACK:
        say("anyone who reaches this machine can look at the page, pictures of cameras too, over plain HTTP")
    say("open this address in a browser; Ctrl-C closes the page")


def page_url(host: str, port: int, token: str) -> str:
    """Where a browser finds the page. The token stands behind the #, which browsers do not send."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104 (compared)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/#token={token}"
