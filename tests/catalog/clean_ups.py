"""Clean-ups of the data store of the tests, in which everything not stamped since spring is stale."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_qlik_assets.catalog.clean_up import CleanUpRules, clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.sandbox import Sandbox

NOW = datetime(2026, 7, 1, tzinfo=UTC)
DAY = 86_400.0
STALE, FRESH = "2026-01-01T00:00:00.000Z", "2026-06-30T00:00:00.000Z"
NO_LIMITS = DeletionGuards(max_deletions=None, max_fraction=None)
LISTING = "/api/v1/data-stores/*"


def add(sandbox: Sandbox, *names: str, freshness: str | None = STALE, **fields: Any) -> None:
    for name in names:
        document = {"id": name, "technicalName": name, **fields}
        if freshness is not None:
            document["dataFreshness"] = freshness
        sandbox.add_asset(**{"data_store_id": "store", **document})


def rules(**given: Any) -> CleanUpRules:
    return CleanUpRules(**{"data_store_ids": ["store"], "stale_after": 30 * DAY, "now": NOW, **given})


def run(
    client: QlikCloudClient, *, guards: DeletionGuards = NO_LIMITS, dry_run: bool = False, **given: Any
) -> dict[str, str]:
    """Clean up; return the action by id."""
    results = clean_up_data_assets(client, rules(**given), guards, dry_run=dry_run)
    assert len({result.id for result in results}) == len(results)
    return {result.id: result.action for result in results}
