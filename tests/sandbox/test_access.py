"""Who is answered: programs of this machine, not pages of other sites, and who may control the sandbox."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Sandbox

CONTROLLED = [
    ("GET", "/state"),
    ("GET", "/settings"),
    ("GET", "/journal"),
    ("GET", "/%2e/state"),
    ("GET", "//state"),
    ("PATCH", "/settings"),
    ("POST", "/stores"),
    ("POST", "/reset"),
    ("POST", "/docs"),
    ("DELETE", "/tokens"),
]


def send(sandbox: Sandbox, method: str, path: str, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, sandbox.url + path, headers=names, timeout=10)


def bearer(token: str) -> str:
    return f"Bearer {token}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
@pytest.mark.parametrize("path", ["/docs", "/sandbox/state", "/api/v1/users/me"])
def test_names_of_this_machine_are_answered(sandbox: Sandbox, host: str, path: str) -> None:
    token = sandbox.api_key if path.startswith("/api") else sandbox.control_token
    port = urlsplit(sandbox.url).port
    answer = send(sandbox, "GET", path, Host=f"{host}:{port}", Authorization=bearer(token))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "user@127.0.0.1:{port}",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:80",
        "localhost:1{port}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/docs", "/sandbox/state", "/api/v1/users/me", "/oauth/token"])
def test_other_host_names_are_refused(sandbox: Sandbox, host: str, path: str) -> None:
    """A page whose host name was rebound to this machine would be answered otherwise."""
    host = host.format(port=urlsplit(sandbox.url).port)
    token = sandbox.api_key if path.startswith("/api") else sandbox.control_token
    answer = send(sandbox, "GET", path, Host=host, Authorization=bearer(token))
    assert answer.status_code == 421
    assert answer.json()["errors"][0]["detail"]
    assert sandbox.journal.requests() == []


def test_two_host_names_are_refused(sandbox: Sandbox) -> None:
    address = urlsplit(sandbox.url).netloc
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest("GET", "/docs", skip_host=True)
    for host in ("evil.example", address):
        connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status in (400, 421)
    connection.close()


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/sandbox/reset", "/oauth/token", "/api/v1/data-assets"])
def test_writes_of_other_sites_are_refused(sandbox: Sandbox, path: str, headers: dict[str, str]) -> None:
    sandbox.add_asset(id="a", technicalName="a")
    token = sandbox.api_key if path.startswith("/api") else sandbox.control_token
    headers = {name: value.format(port=urlsplit(sandbox.url).port) for name, value in headers.items()}
    answer = send(sandbox, "POST", path, Authorization=bearer(token), **headers)
    assert answer.status_code == 403
    assert [*sandbox.assets] == ["a"]
    assert sandbox.journal.requests() == []


@pytest.mark.parametrize("origin", ["{url}", None])
def test_writes_of_the_documentation_are_answered(sandbox: Sandbox, origin: str | None) -> None:
    headers = {"Origin": origin.format(url=sandbox.url)} if origin else {"Sec_Fetch_Site": "none"}
    answer = send(
        sandbox, "POST", "/sandbox/reset", Authorization=bearer(sandbox.control_token),
        **headers,
    )  # fmt: skip
    assert answer.status_code == 204


@pytest.mark.parametrize(("method", "path"), CONTROLLED)
@pytest.mark.parametrize("credentials", [None, "wrong", "api key", "basic"])
def test_the_control_api_asks_for_its_token(
    sandbox: Sandbox, method: str, path: str, credentials: str | None
) -> None:
    sandbox.add_asset(id="a", technicalName="a")
    given = {
        None: {},
        "wrong": {"Authorization": bearer("wrong")},
        "api key": {"Authorization": bearer(sandbox.api_key)},
        "basic": {"Authorization": f"Basic {sandbox.control_token}"},
    }[credentials]
    answer = send(sandbox, method, f"/sandbox{path}", **given)
    assert answer.status_code == 401
    assert "control_token" in answer.json()["errors"][0]["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"
    assert [*sandbox.assets] == ["a"]


def test_the_control_token_is_no_key_of_the_tenant(sandbox: Sandbox, api: Any) -> None:
    answer = send(sandbox, "GET", "/api/v1/users/me", Authorization=bearer(sandbox.control_token))
    assert answer.status_code == 401
    assert len(sandbox.control_token) >= 32
    with Sandbox() as other:
        assert other.control_token != sandbox.control_token


def test_the_documentation_of_the_control_api_says_that_it_asks_for_a_token(sandbox: Sandbox) -> None:
    described = send(sandbox, "GET", "/sandbox/openapi.json").json()
    assert all("security" in operation for path in described["paths"].values() for operation in path.values())


@pytest.mark.parametrize("secret", ["right", "wrong"])
@pytest.mark.parametrize("form", ["json", "broken json", "form", "query"])
def test_the_journal_holds_no_client_secret(sandbox: Sandbox, secret: str, form: str) -> None:
    value = sandbox.client_secret if secret == "right" else "secret-of-another-tenant"
    body = {"client_id": sandbox.client_id, "client_secret": value, "grant_type": "client_credentials"}
    forms: dict[str, dict[str, Any]] = {
        "json": {"json": body},
        "broken json": {"data": json.dumps(body)[:-1]},
        "form": {"data": body},
        "query": {"params": body},
    }
    requests.post(f"{sandbox.url}/oauth/token", **forms[form], timeout=10)
    [entry] = sandbox.journal.requests()
    assert value not in str(entry.as_json())
    if form == "json":
        assert entry.body == {**body, "client_secret": "***"}


def test_the_ready_file_is_for_its_user_only(tmp_path: Path) -> None:
    """See also test_command_line.py, which starts the process."""
    from airflow_provider_qlik_assets.sandbox.__main__ import write_ready_file  # noqa: PLC0415

    ready, victim = tmp_path / "ready.json", tmp_path / "victim"
    victim.write_text("untouched")
    ready.symlink_to(victim)
    write_ready_file(ready, {"control_token": "t"})
    assert ready.stat().st_mode & 0o777 == 0o600
    assert not ready.is_symlink()
    assert victim.read_text() == "untouched"
    assert json.loads(ready.read_text()) == {"control_token": "t"}
