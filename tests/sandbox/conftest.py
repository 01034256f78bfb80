"""A sandbox and a thin HTTP client with a user's key."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Sandbox

ASSETS = "/api/v1/data-assets"
STORES = "/api/v1/data-stores"


class Api:
    """Sends requests to the sandbox as one user."""

    def __init__(self, sandbox: Sandbox, key: str) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": 30, "allow_redirects": False, **options}
        return self.session.request(method, self.sandbox.url + path, **options)

    def asset(self, method: str, key: str, **options: Any) -> requests.Response:
        return self(method, f"{ASSETS}/{quote(key, safe='')}", **options)

    def create(self, **fields: Any) -> requests.Response:
        return self("POST", ASSETS, json={"technicalName": "orders", "appType": "dbt", **fields})

    def list(self, stores: str = "*", **parameters: Any) -> requests.Response:
        return self("GET", f"{STORES}/{stores}/data-assets", params=parameters)


@pytest.fixture
def sandbox(qlik_sandbox: Sandbox) -> Sandbox:
    return qlik_sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    client = Api(sandbox, sandbox.api_key)
    with client.session:
        yield client


@pytest.fixture
def reader(sandbox: Sandbox) -> Iterator[Api]:
    client = Api(sandbox, sandbox.read_only_api_key)
    with client.session:
        yield client
