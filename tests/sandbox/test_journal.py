"""The record of requests."""

import time
from typing import Any

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Journal, JournalEntry, Sandbox


def entry(arrived: float, *, user: str | None = "u", tier: int = 1, status: int = 200) -> JournalEntry:
    return JournalEntry(
        arrived=arrived, method="GET", path="/", query={}, headers={}, tier=tier, user=user, status=status
    )


def test_a_request_is_recorded_whole(sandbox: Sandbox, api) -> None:
    before = time.monotonic()
    response = api.asset("PATCH", "a/ü", json=[{"op": "remove", "path": "/name"}], params={"x": "1 2"})
    (found,) = sandbox.journal.requests()
    assert before < found.arrived < time.monotonic()
    assert (found.method, found.path) == ("PATCH", "/api/v1/data-assets/a%2F%C3%BC")
    assert found.query == {"x": "1 2"}
    assert found.body == [{"op": "remove", "path": "/name"}]
    assert (found.user, found.tier, found.status) == ("user-full-access", 2, response.status_code)
    assert (found.counted, found.fault) == (True, None)
    assert found.headers["content-type"] == "application/json"
    assert "authorization" not in found.headers
    assert sandbox.api_key not in str(found)


def test_refused_requests_are_recorded_too(sandbox: Sandbox) -> None:
    requests.post(f"{sandbox.url}/api/v1/data-assets", data=b"{", timeout=10)
    (found,) = sandbox.journal.requests()
    assert (found.status, found.user, found.counted, found.body) == (401, None, False, "{")


def test_requests_are_chosen_by_method_and_path(sandbox: Sandbox, api) -> None:
    api.list()
    api.create()
    api.asset("GET", "x")
    assert len(sandbox.journal) == len(sandbox.journal.requests()) == 3
    assert [e.path for e in sandbox.journal.requests("get")] == [
        "/api/v1/data-stores/*/data-assets",
        "/api/v1/data-assets/x",
    ]
    assert len(sandbox.journal.requests(path="/api/v1/data-assets")) == 2
    assert len(sandbox.journal.requests("GET", "/api/v1/data-assets/*")) == 1
    sandbox.journal.clear()
    assert sandbox.journal.requests() == []


def test_documentation_and_control_are_not_recorded(sandbox: Sandbox) -> None:
    for path in ("/docs", "/openapi.json", "/sandbox/state", "/"):
        requests.get(sandbox.url + path, timeout=10)
    assert sandbox.journal.requests() == []


def test_the_busiest_window_is_rolling_and_half_open() -> None:
    journal = Journal()
    for arrived in (0.0, 0.75, 1.0, 1.5, 1.75, 5.0):
        journal.add(entry(arrived))
    assert journal.busiest_window(tier=1, seconds=1) == 3
    assert journal.busiest_window(tier=1, seconds=1.25) == 4
    assert journal.busiest_window(tier=2, seconds=1) == 0


def test_the_busiest_window_is_per_user_and_counts_refused_requests() -> None:
    journal = Journal()
    for user in ("u", "v", None):
        for arrived in (0.0, 0.1):
            journal.add(entry(arrived, user=user, status=429))
    assert journal.busiest_window(tier=1, seconds=1) == 2


@pytest.mark.parametrize("secret", ["client_secret", "api_key"])
@pytest.mark.parametrize(
    "options",
    [
        lambda secret: {"json": [{"client_secret": secret}]},
        lambda secret: {"json": {"a": [{"clientSecret": secret}]}},
        lambda secret: {"json": {"client_id": secret, secret: 1}},
        lambda secret: {"data": secret},
        lambda secret: {"data": {"client_secret": secret}},
        lambda secret: {"json": {}, "headers": {"X-Client-Secret": secret, "X-Api-Key": secret}},
        lambda secret: {"json": {}, "headers": {"Proxy-Authorization": f"Basic {secret}"}},
        lambda secret: {"json": {}, "params": {"q": secret}},
    ],
    ids=["list", "nested", "other place", "text", "form", "headers", "proxy", "query"],
)
def test_the_journal_holds_no_secret_of_the_sandbox(
    sandbox: Sandbox, api: Any, secret: str, options: Any
) -> None:
    value = getattr(sandbox, secret)
    headers = {"Authorization": f"Bearer {sandbox.control_token}"}

    requests.post(f"{sandbox.url}/oauth/token", timeout=10, **options(value))
    api("POST", f"/api/v1/data-assets/{value}", **options(value))

    shown = requests.get(f"{sandbox.url}/sandbox/journal", headers=headers, timeout=10).text
    assert len(sandbox.journal) == 2
    assert value not in shown
    assert value not in str(sandbox.journal.requests())


def test_a_secret_of_another_client_is_hidden_by_its_name(sandbox: Sandbox) -> None:
    body = {"a": [{"client_secret": "other-1", "clientSecret": "other-2"}], "client_id": "c"}
    requests.post(f"{sandbox.url}/oauth/token", json=body, timeout=10)
    (found,) = sandbox.journal.requests()

    assert found.body == {"a": [{"client_secret": "***", "clientSecret": "***"}], "client_id": "c"}


def test_a_deep_body_does_not_hide_the_journal(sandbox: Sandbox, api: Any) -> None:
    headers = {"Authorization": f"Bearer {sandbox.control_token}"}
    api(
        "POST",
        "/api/v1/data-assets",
        data="[" * 900 + "]" * 900,
        headers={"Content-Type": "application/json"},
    )

    response = requests.get(f"{sandbox.url}/sandbox/journal", headers=headers, timeout=10)

    assert response.status_code == 200
    assert len(response.json()) == 1
