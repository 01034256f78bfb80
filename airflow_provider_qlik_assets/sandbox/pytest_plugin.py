"""A pytest plugin that gives tests a Qlik Cloud tenant.

Enable it in the ``conftest.py`` at the root of the tests::

    pytest_plugins = ["airflow_provider_qlik_assets.sandbox.pytest_plugin"]
"""

from collections.abc import Iterator

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox


@pytest.fixture(scope="session")
def qlik_sandbox_server() -> Iterator[Sandbox]:
    """Run one server for the whole session; tests use :func:`qlik_sandbox`, clean for each of them."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def qlik_sandbox(qlik_sandbox_server: Sandbox) -> Sandbox:
    """Give the test an empty tenant with the default settings; its address and keys stay the same."""
    qlik_sandbox_server.reset()
    return qlik_sandbox_server
