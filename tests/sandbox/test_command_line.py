"""``python -m airflow_provider_qlik_assets.sandbox`` as a process of its own."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

COMMAND = [sys.executable, "-W", "error", "-m", "airflow_provider_qlik_assets.sandbox"]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> dict[str, str]:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def control(ready: dict[str, str], path: str) -> Any:
    headers = {"Authorization": f"Bearer {ready['control_token']}"}
    return requests.get(f"{ready['url']}/sandbox{path}", headers=headers, timeout=10).json()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_it_runs_until_a_signal_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text("stale")
    arguments = [
        "--ready-file",
        str(ready),
        "--assets",
        "3",
        "--set",
        "tier1_limit=2",
        "--set",
        "max_delete_ids=null",
    ]
    with running(*arguments) as process:
        while ready.exists() and ready.read_text() == "stale":
            time.sleep(0.02)
        found = wait_for(ready, process)
        assert found.keys() == {
            "url",
            "api_key",
            "read_only_api_key",
            "client_id",
            "client_secret",
            "control_token",
            "data_store_id",
        }
        headers = {"Authorization": f"Bearer {found['api_key']}"}
        path = "/api/v1/data-stores/*/data-assets"
        answers = [requests.get(found["url"] + path, headers=headers, timeout=10) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].json()["total"] == 3
        assert control(found, "/settings")["max_delete_ids"] is None
        assert list(tmp_path.iterdir()) == [ready]
        assert ready.stat().st_mode & 0o777 == 0o600
        process.send_signal(number)
        started = time.monotonic()
        printed, errors = process.communicate(timeout=30)
        assert time.monotonic() - started < 5
    assert (process.returncode, errors) == (0, "")
    assert all(value in printed for value in found.values())
    assert not ready.exists()


def test_it_listens_on_the_port_asked_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with running("--port", str(port), "--ready-file", str(tmp_path / "ready")) as process:
        assert wait_for(tmp_path / "ready", process)["url"] == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("arguments", "names"), [([], ["demo"]), (["--store", "data lake"], ["data lake"]), (["--no-store"], [])]
)
@pytest.mark.slow
def test_it_starts_with_a_data_store_and_says_its_id(
    tmp_path: Path, arguments: list[str], names: list[str]
) -> None:
    with running(*arguments, "--ready-file", str(tmp_path / "ready")) as process:
        found = wait_for(tmp_path / "ready", process)
        stores = control(found, "/state")["stores"]
    assert [store["name"] for store in stores.values()] == names
    assert [found["data_store_id"]] * len(names) == [*stores] if names else "data_store_id" not in found


@pytest.mark.slow
def test_the_line_for_airflow_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    with running("--ready-file", str(tmp_path / "ready")) as process:
        wait_for(tmp_path / "ready", process)
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith("export AIRFLOW_CONN_"))
        test = (
            "from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook\n"
            "print(QlikCloudHook().test_connection())"
        )
        shell = ["sh", "-c", f'{line}\nexec "$0" -W ignore -c "$1"', sys.executable, test]
        ended = subprocess.run(shell, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "(True, " in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "colour=red"], "colour"),
        (["--set", "time_factor"], "NAME=VALUE"),
        (["--set", "links=none"], "links"),
        (["--no-store", "--assets", "1"], "--assets needs a data store"),
        (["--port", "{taken}"], "in use"),
    ],
)
@pytest.mark.slow
def test_it_says_why_it_cannot_run(arguments: list[str], message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, *(argument.format(taken=port) for argument in arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_says_which_extra_is_missing() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from airflow_provider_qlik_assets.sandbox.__main__ import main\n"
        "sys.exit(main([]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "airflow-provider-qlik-assets[sandbox]" in ended.stderr
    assert "Traceback" not in ended.stderr
