"""The control API, for other processes."""

from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airflow_provider_qlik_assets.sandbox import Sandbox, SandboxSettings


@pytest.fixture
def control(sandbox: Sandbox):
    def send(verb: str, where: str, body: Any = None, **parameters: Any) -> requests.Response:
        return requests.request(
            verb,
            f"{sandbox.url}/sandbox{where}",
            json=body,
            params=parameters,
            headers={"Authorization": f"Bearer {sandbox.control_token}"},
            timeout=10,
        )

    return send


def test_data_can_be_put_in_place_changed_and_read(sandbox: Sandbox, control) -> None:
    store = control("POST", "/stores", {"name": "warehouse"}).json()["id"]
    assets = [{"data_store_id": store, "technicalName": name, "id": f"{name}/1"} for name in ("a", "b")]
    added = control("POST", "/assets", assets)
    assert added.status_code == 201
    assert [asset["id"] for asset in added.json()] == ["a/1", "b/1"]
    touched = control("PATCH", "/assets/a%2F1", {"name": "A"}).json()
    assert (touched["name"], touched["version"]) == ("A", 1)
    assert control("GET", "/state").json() == {"assets": sandbox.assets, "stores": sandbox.stores}
    assert sandbox.assets["a/1"] == touched


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/assets", [{"technicalName": ""}], 400),
        ("/assets", [{"technicalName": "x", "data_store_id": "nowhere"}], 404),
        ("/assets", {"technicalName": "x"}, 422),
        ("/stores", {"name": 1}, 400),
        ("/faults", {"kind": "explosion"}, 422),
        ("/faults", {"kind": "drop", "time": 3}, 422),
        ("/quota", {"tier": 3, "requests": 1}, 422),
        ("/public-keys", {"key_id": "k", "pem": "nonsense"}, 422),
    ],
)
def test_wrong_input_is_refused(control, path: str, body: Any, status: int) -> None:
    assert control("POST", path, body).status_code == status


def test_settings_can_be_changed_all_or_none(sandbox: Sandbox, control) -> None:
    assert control("GET", "/settings").json() == SandboxSettings().model_dump()
    changed = control("PATCH", "/settings", {"time_factor": 60, "links": "relative"})
    assert (changed.json()["time_factor"], sandbox.settings.links) == (60, "relative")
    assert control("PATCH", "/settings", {"time_factor": 1, "links": "none"}).status_code == 422
    assert control("PATCH", "/settings", {"colour": "red"}).status_code == 422
    assert sandbox.settings.time_factor == 60


def test_faults_can_be_added_read_and_cleared(sandbox: Sandbox, api, control) -> None:
    for kind in ("html", "drop"):
        assert control("POST", "/faults", {"kind": kind, "status": 502}).status_code == 204
    assert api.list().status_code == 502
    assert [fault["kind"] for fault in control("GET", "/faults").json()] == ["drop"]
    assert control("DELETE", "/faults").status_code == 204
    assert api.list().status_code == 200


def test_the_journal_can_be_read_and_cleared(sandbox: Sandbox, api, control) -> None:
    api.list()
    api.create()
    entries = control("GET", "/journal").json()
    assert [(entry["method"], entry["status"]) for entry in entries] == [("GET", 200), ("POST", 201)]
    assert len(control("GET", "/journal", method="POST", path="/api/v1/data-assets").json()) == 1
    assert control("GET", "/journal/busiest-window", tier=2, seconds=5).json() == 1
    assert control("DELETE", "/journal").status_code == 204
    assert control("GET", "/journal").json() == []


def test_quota_tokens_keys_and_reset(sandbox: Sandbox, api, control) -> None:
    control("POST", "/quota", {"tier": 1, "requests": 5000})
    assert api.list().status_code == 429
    pem = rsa.generate_private_key(65537, 2048).public_key()
    body = {"key_id": "k", "pem": pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()}
    assert control("POST", "/public-keys", body).status_code == 204
    assert control("DELETE", "/tokens").status_code == 204
    sandbox.add_store(name="w")
    assert control("POST", "/reset").status_code == 204
    assert api.list().status_code == 200
    assert sandbox.stores == {}


def test_the_control_api_has_a_description_of_its_own(sandbox: Sandbox, control) -> None:
    assert "/faults" in control("GET", "/openapi.json").json()["paths"]
    tenant = requests.get(f"{sandbox.url}/openapi.json", timeout=10).json()
    assert not [path for path in tenant["paths"] if path.startswith("/sandbox")]
    assert (
        control("GET", "/docs").status_code
        == requests.get(f"{sandbox.url}/docs", timeout=10).status_code
        == 200
    )
