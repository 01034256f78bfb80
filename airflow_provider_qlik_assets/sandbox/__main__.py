"""``python -m airflow_provider_qlik_assets.sandbox``: run a sandbox until it is stopped."""

import argparse
import json
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_qlik_assets import sandbox

_DEFAULT_STORE = "demo"
_CREDENTIALS = ("url", "api_key", "read_only_api_key", "client_id", "client_secret", "control_token")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox until SIGTERM or SIGINT.

    :param arguments: command line without the program; defaults to that of the process.
    :return: exit status.
    """
    options = _parser().parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)
        with _sandbox(options) as tenant:
            _announce(tenant, _seed(tenant, options), options.ready_file)
            ended.wait()
    except (ImportError, ValueError, OSError) as problem:
        sys.stderr.write(f"The sandbox cannot run: {problem}\n")
        return 1
    finally:
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_qlik_assets.sandbox",
        description="A local Qlik Cloud tenant on the loopback interface, all state in memory.",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="PATH",
        help="write address, keys and data store as JSON here once it answers, readable by this user only",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a switch, for example --set time_factor=60; see SandboxSettings",
    )
    parser.add_argument(
        "--assets", type=int, default=0, metavar="N", help="start with N data assets in that data store"
    )
    store = parser.add_mutually_exclusive_group()
    store.add_argument(
        "--store",
        default=_DEFAULT_STORE,
        metavar="NAME",
        help="name of the data store to start with (default: %(default)s)",
    )
    store.add_argument(
        "--no-store", dest="store", action="store_const", const=None, help="start without a data store"
    )
    return parser


def _sandbox(options: argparse.Namespace) -> "sandbox.Sandbox":
    values: dict[str, Any] = {}
    for assignment in options.set:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"--set takes NAME=VALUE, not {assignment!r}")
        values[name] = None if text == "null" else text
    return sandbox.Sandbox(sandbox.SandboxSettings.model_validate(values), port=options.port)


def _seed(tenant: "sandbox.Sandbox", options: argparse.Namespace) -> str | None:
    """Return the id of the data store, if one was requested."""
    if options.store is None:
        if options.assets:
            raise ValueError("--assets needs a data store: leave --no-store out")
        return None
    store = tenant.add_store(name=options.store)
    for number in range(options.assets):
        tenant.add_asset(store, technicalName=f"asset_{number:05}", name=f"Asset {number}")
    return store


def _announce(tenant: "sandbox.Sandbox", store: str | None, ready_file: Path | None) -> None:
    ready = {name: getattr(tenant, name) for name in _CREDENTIALS}
    if store is not None:
        ready["data_store_id"] = store
    connection = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key}
    lines = [f"{name:<18}{value}" for name, value in ready.items()]
    lines += [
        f"documentation     {tenant.url}/docs and, with the control_token, {tenant.url}/sandbox/docs",
        "",
        "For Airflow:",
        f"export AIRFLOW_CONN_QLIK_CLOUD_DEFAULT={shlex.quote(json.dumps(connection))}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    if ready_file is not None:
        write_ready_file(ready_file, ready)


def write_ready_file(path: Path, ready: dict[str, str]) -> None:
    """Write the ready file atomically and for this user only, because it contains the keys.

    :param path: replaced if it exists.
    :param ready: its content.
    """
    descriptor, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - mkstemp gives a descriptor, mode 0600
        json.dump(ready, file)
    Path(unfinished).replace(path)


if __name__ == "__main__":
    sys.exit(main())
