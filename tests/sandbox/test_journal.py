"""The record of requests."""

import time

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
