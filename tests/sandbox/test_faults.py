"""Faults over real connections."""

import logging
import socket
import time
from typing import Any

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sandbox.faults import Faults

ASSETS = "/api/v1/data-assets"
RENAME = [{"op": "replace", "path": "/name", "value": "new"}]


@pytest.fixture
def key(sandbox: Sandbox) -> str:
    found: str = sandbox.add_asset(technicalName="orders", name="old", description="ü" * 100)["id"]
    return found


def ask(sandbox: Sandbox, key: str) -> socket.socket:
    """Ask for an asset over a bare socket."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    headers = f"Host: {host}:{port}\r\nAuthorization: Bearer {sandbox.api_key}\r\n"
    head = f"GET {ASSETS}/{key} HTTP/1.1\r\n{headers}\r\n"
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(head.encode())
    return connection


def raw_answer(sandbox: Sandbox, key: str) -> bytes:
    """Return all that the server sends until it closes the connection."""
    parts = []
    with ask(sandbox, key) as connection:
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def usual_body(sandbox: Sandbox, key: str) -> bytes:
    """Return the body of the usual answer."""
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    return requests.get(f"{sandbox.url}{ASSETS}/{key}", headers=headers, timeout=10).content


WHENS = pytest.mark.parametrize(("when", "name"), [("before", "old"), ("after", "new")])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "status", "status": 503}, (503, "HTTP-503", "application/json")),
        ({"kind": "status"}, (500, "HTTP-500", "application/json")),
        ({"kind": "status", "status": 502, "body": ""}, (502, "", "text/plain; charset=utf-8")),
        ({"kind": "status", "status": 418, "body": "tea"}, (418, "tea", "text/plain; charset=utf-8")),
        ({"kind": "status", "status": 200, "body": [1]}, (200, "[1]", "application/json")),
        ({"kind": "status", "body": "{", "headers": {"Content-Type": "a/b"}}, (500, "{", "a/b")),
        ({"kind": "status", "status": 204}, (204, "", "application/json")),
        ({"kind": "html"}, (200, "<!DOCTYPE html>", "text/html")),
        ({"kind": "html", "status": 504}, (504, "504", "text/html")),
        ({"kind": "oversize", "size": 5_000_000}, (200, "xxx", "application/json")),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_is_replaced(sandbox: Sandbox, api, when: Any, fault: Any, expected: Any) -> None:
    sandbox.add_fault(Fault(when=when, **fault))
    response = api.create()
    status, text, content_type = expected
    assert (response.status_code, response.headers["content-type"]) == (status, content_type)
    assert text in response.text
    assert len(response.content) == fault.get("size", len(response.content))
    assert len(sandbox.assets) == (1 if when == "after" else 0)


def test_the_answer_of_a_fault_has_the_headers_asked_for(sandbox: Sandbox, api, key: str) -> None:
    sandbox.add_fault(
        Fault(kind="status", status=429, headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
    )
    sandbox.add_fault(Fault(kind="status", status=429))
    first, second = (api.asset("GET", key) for _ in range(2))
    assert first.headers["Retry-After"] == "Fri, 31 Dec 1999 23:59:59 GMT"
    assert "Retry-After" not in second.headers


@WHENS
@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_connection_is_closed(sandbox: Sandbox, key: str, when: Any, name: str, kind: Any) -> None:
    sandbox.add_fault(Fault(kind=kind, when=when))
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.patch(f"{sandbox.url}{ASSETS}/{key}", json=RENAME, headers=headers, timeout=10)
    assert sandbox.assets[key]["name"] == name
    (entry,) = sandbox.journal.requests()
    assert (entry.status, entry.fault, entry.counted) == (None, kind, True)


def test_a_dropped_connection_ends_and_a_reset_one_breaks(sandbox: Sandbox, key: str) -> None:
    sandbox.add_fault(Fault(kind="drop"))
    assert raw_answer(sandbox, key) == b""
    sandbox.add_fault(Fault(kind="reset"))
    with pytest.raises(ConnectionResetError):
        raw_answer(sandbox, key)


def test_a_truncated_body_is_shorter_than_promised(sandbox: Sandbox, api, key: str) -> None:
    sandbox.add_fault(Fault(kind="truncate", method="PATCH"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        api.asset("PATCH", key, json=RENAME)
    assert sandbox.assets[key]["name"] == "new"


def test_a_wrong_content_type_keeps_the_body(sandbox: Sandbox, api, key: str) -> None:
    sandbox.add_fault(Fault(kind="content_type", content_type="text/html; charset=utf-8"))
    response = api.asset("GET", key)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.json()["id"] == key


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_dripped_answer_is_right_but_slow(sandbox: Sandbox, key: str, part: Any) -> None:
    usual = usual_body(sandbox, key)
    sandbox.add_fault(Fault(kind="drip", part=part, seconds=0.002))
    started = time.monotonic()
    head, _, body = raw_answer(sandbox, key).partition(b"\r\n\r\n")
    assert time.monotonic() - started > 0.002 * len(head if part == "head" else body)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == usual


def test_a_client_that_leaves_ends_the_drip(
    sandbox: Sandbox, api, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.add_fault(Fault(kind="drip", part="head", seconds=0.005))
    with ask(sandbox, key) as connection:
        assert connection.recv(1) == b"H"
    time.sleep(0.2)
    assert api.asset("GET", key).status_code == 200
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@WHENS
def test_a_delay_is_before_or_after_the_change(sandbox: Sandbox, api, key: str, when: Any, name: str) -> None:
    sandbox.add_fault(Fault(kind="delay", seconds=0.6, when=when))
    with pytest.raises(requests.exceptions.ReadTimeout):
        api.asset("PATCH", key, json=RENAME, timeout=0.2)
    assert sandbox.assets[key]["name"] == name
    time.sleep(0.6)
    assert sandbox.assets[key]["name"] == "new"


def test_a_delay_does_not_hold_up_other_requests(sandbox: Sandbox, api, key: str) -> None:
    sandbox.add_fault(Fault(kind="delay", seconds=30, method="PATCH"))
    with pytest.raises(requests.exceptions.ReadTimeout):
        api.asset("PATCH", key, json=RENAME, timeout=0.05)
    started = time.monotonic()
    assert api.asset("GET", key).status_code == 200
    assert time.monotonic() - started < 10


def test_a_redirect_names_its_target(sandbox: Sandbox, api, key: str) -> None:
    sandbox.add_fault(Fault(kind="redirect", location="https://elsewhere.invalid/x"))
    sandbox.add_fault(Fault(kind="redirect", location="/relative", status=307))
    first, second = (api.asset("PATCH", key, json=RENAME) for _ in range(2))
    assert (first.status_code, first.headers["Location"]) == (302, "https://elsewhere.invalid/x")
    assert (second.status_code, second.headers["Location"]) == (307, "/relative")
    assert sandbox.assets[key]["name"] == "old"


def test_a_redirect_without_target_is_refused() -> None:
    with pytest.raises(ValueError, match="location"):
        Fault(kind="redirect")


def test_a_revoked_key_stays_revoked_until_the_reset(sandbox: Sandbox, api, reader, key: str) -> None:
    sandbox.add_fault(Fault(kind="revoke_token"))
    assert [api.asset("GET", key).status_code for _ in range(2)] == [401, 401]
    assert reader.asset("GET", key).status_code == 200
    sandbox.reset()
    assert api.list().status_code == 200


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        (None, True),
        ("/api/v1/data-assets", True),
        ("/api/v1/data-assets/", True),
        ("/api/v1/data-assets/?", True),
        ("*assets/a", True),
        ("/api/v1/data-assets/b", False),
        ("/api/v1/data-assets?", False),
        ("/oauth", False),
    ],
)
def test_the_path_is_a_prefix_or_a_glob(pattern: str | None, hit: bool) -> None:
    faults = Faults(seed=0)
    faults.add(Fault(kind="drop", path=pattern))
    assert (faults.take("GET", "/api/v1/data-assets/a") is not None) is hit


def test_method_skip_and_times_choose_the_requests() -> None:
    faults = Faults(seed=0)
    faults.add(Fault(kind="drop", method="GET", skip=2, times=2))
    taken = [
        faults.take(method, "/") is not None for method in ("GET", "PUT", "GET", "GET", "PUT", "GET", "GET")
    ]
    assert taken == [False, False, False, True, False, True, False]
    assert faults.pending() == []


def test_a_fault_without_times_lasts_until_cleared() -> None:
    faults = Faults(seed=0)
    faults.add(Fault(kind="drop", times=None))
    assert all(faults.take("GET", "/") for _ in range(50))
    faults.clear()
    assert faults.take("GET", "/") is None


def test_faults_hit_in_the_order_in_which_they_were_added() -> None:
    faults = Faults(seed=0)
    faults.add(Fault(kind="drop"))
    faults.add(Fault(kind="reset"))
    taken = [faults.take("GET", "/") for _ in range(3)]
    assert [fault and fault.kind for fault in taken] == ["drop", "reset", None]


def test_chance_repeats_with_its_seed() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add(Fault(kind="drop", times=None, probability=0.3))
        return [faults.take("GET", "/") is not None for _ in range(1000)]

    assert hits(1) == hits(1) != hits(2)
    assert 200 < sum(hits(1)) < 400


def test_faults_hit_only_requests_that_would_have_been_served(sandbox: Sandbox, api, reader) -> None:
    sandbox.add_fault(Fault(kind="status", status=503))
    assert reader.create().status_code == 403
    assert requests.get(f"{sandbox.url}{ASSETS}/x", timeout=10).status_code == 401
    assert api.list().status_code == 503


def test_faults_on_the_token_endpoint(sandbox: Sandbox) -> None:
    sandbox.add_fault(Fault(kind="html", path="/oauth/token", status=502))
    response = requests.post(f"{sandbox.url}/oauth/token", json={}, timeout=10)
    assert (response.status_code, response.headers["content-type"]) == (502, "text/html")
