"""A whole Airflow, and the tenant that its connection names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.system.kinds import local_airflow
from tests.system.whole_airflow import Airflow


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here, and keep what shares an Airflow together: the last tests look at what all left."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.system)
            of = "several hosts" if item.path.name == "test_celery.py" else "one host"
            item.add_marker(pytest.mark.xdist_group(of))


@pytest.fixture(scope="session")
def tenant() -> Iterator[Sandbox]:
    """One tenant for all tests, each of which has data assets of its own."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow(tenant: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Run an Airflow; its start takes most of a minute on a small machine."""
    home = tmp_path_factory.mktemp("airflow")
    tenant.add_store(id="store", name="Store")
    # So that whatever is doubled can be seen.
    tenant.settings.duplicate_technical_name = "allowed"
    with local_airflow(home, tenant) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show Airflow's logs with a test that failed."""
    report: Any = yield
    running = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and running is not None:
        report.sections.append(("Airflow", running.describe()))
    return report
