"""A sandbox tenant with a data store, and a feed of its changes."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.clients import client, clock, connect  # noqa: F401
from tests.watching.feeds import Reader


@pytest.fixture
def sandbox(qlik_sandbox: Sandbox) -> Sandbox:
    qlik_sandbox.add_store(id="store", name="Store")
    return qlik_sandbox


@pytest.fixture
def reader(client: QlikCloudClient, sandbox: Sandbox, clock: Any) -> Reader:  # noqa: F811 - fixtures
    return Reader(client, sandbox, clock)
