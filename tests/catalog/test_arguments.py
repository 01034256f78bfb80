"""Arguments that cannot be meant are refused by every function of the catalog, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import (
    DeletionGuards,
    Sync,
    clean_up_data_assets,
    delete_data_assets,
    find_data_asset,
    make_plan,
    set_data_freshness,
    sync_data_assets,
    upsert_data_asset,
)
from airflow_provider_qlik_assets.catalog.deletion import delete_by_id
from airflow_provider_qlik_assets.catalog.freshness import (
    set_data_freshness_by_id,
    set_data_freshness_of_many,
)
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.catalog.clean_ups import FRESH, NO_LIMITS, STALE, add, rules

WISH = {"dataStoreInfo": {"id": "store"}, "technicalName": "new", "appType": "dbt"}
NO_FLAGS: tuple[Any, ...] = ("False", "no", "", None, 0, 1, [])
NO_IDS = ({"a": False}, None, 5, b"a")
NO_SECONDS = ("2", math.nan, math.inf, -1, True)
NO_GUARDS: tuple[Any, ...] = ({"max_deletions": 0}, {}, 0, "none")

Call = Callable[[QlikCloudClient, Any], Any]
REFUSED: list[tuple[str, Call, tuple[Any, ...]]] = [
    ("dry_run", lambda client, it: delete_data_assets(client, ["a"], dry_run=it), NO_FLAGS),
    ("dry_run", lambda client, it: delete_by_id(client, ["a"], NO_LIMITS, dry_run=it), NO_FLAGS),
    ("dry_run", lambda client, it: clean_up_data_assets(client, rules(), NO_LIMITS, dry_run=it), NO_FLAGS),
    ("delete_unlisted", lambda client, it: Sync(client, "store", [WISH], delete_unlisted=it), NO_FLAGS),
    (
        "delete_unlisted",
        lambda client, it: sync_data_assets(client, "store", [WISH], delete_unlisted=it),
        NO_FLAGS,
    ),
    ("delete_unlisted", lambda _, it: make_plan("store", [], [], delete_unlisted=it), NO_FLAGS),
    (
        "allow_backwards",
        lambda client, it: set_data_freshness(client, "a", STALE, allow_backwards=it),
        NO_FLAGS,
    ),
    ("allow_future", lambda client, it: set_data_freshness(client, "a", FRESH, allow_future=it), NO_FLAGS),
    (
        "allow_backwards",
        lambda client, it: set_data_freshness_of_many(client, ["a", "b"], STALE, allow_backwards=it),
        NO_FLAGS,
    ),
    (
        "allow_future",
        lambda client, it: set_data_freshness_by_id(client, {"a": FRESH}, allow_future=it),
        NO_FLAGS,
    ),
    ("data_asset_ids", delete_data_assets, NO_IDS),
    ("data_asset_ids", lambda client, it: delete_by_id(client, it, NO_LIMITS), NO_IDS),
    ("data_asset_ids", lambda client, it: set_data_freshness_of_many(client, it, FRESH), NO_IDS),
    ("instants", set_data_freshness_by_id, (["a"], "a", None, {"a"})),
    ("guards", lambda client, it: clean_up_data_assets(client, rules(), it), (*NO_GUARDS, None)),
    ("guards", lambda client, it: delete_by_id(client, ["a"], it), (*NO_GUARDS, None)),
    ("guards", lambda client, it: Sync(client, "store", [WISH], guards=it), NO_GUARDS),
    ("guards", lambda _, it: make_plan("store", [], [], guards=it), NO_GUARDS),
    ("rules", lambda client, it: clean_up_data_assets(client, it, NO_LIMITS), (None, {}, "store")),
    ("max_deletions", lambda client, it: delete_data_assets(client, ["a"], max_deletions=it), ("0", -1, 1.5)),
    ("own", lambda client, it: Sync(client, "store", [WISH], own=it), (["a"], "a", 5)),
    ("An id", lambda client, it: Sync(client, "store", [WISH], own={"new": it}), (None, 5)),
    ("visible_after", lambda client, it: Sync(client, "store", [WISH], visible_after=it), NO_SECONDS),
    ("visible_after", lambda client, it: upsert_data_asset(client, WISH, visible_after=it), NO_SECONDS),
    ("An id", lambda client, it: upsert_data_asset(client, WISH, created_before=it), (5, ["a"])),
    ("if_exists", lambda client, it: upsert_data_asset(client, WISH, it), ([], None, "Update", True)),
    ("technical_name", lambda client, it: find_data_asset(client, "store", it), (None, "", 5)),
]


@pytest.mark.parametrize(
    ("name", "call", "value"),
    [
        pytest.param(name, call, value, id=f"{number}-{name}={value!r}")
        for number, (name, call, values) in enumerate(REFUSED)
        for value in values
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    sandbox: Sandbox, client: QlikCloudClient, name: str, call: Call, value: Any
) -> None:
    add(sandbox, "a", "b")
    before = sandbox.assets

    with pytest.raises(QlikValidationError, match=f"^{name} "):
        call(client, value)

    assert len(sandbox.journal) == 0
    assert sandbox.assets == before


@pytest.mark.parametrize("collect", [list, tuple, iter, set])
def test_ids_may_be_any_list(sandbox: Sandbox, client: QlikCloudClient, collect: Any) -> None:
    add(sandbox, "a", "b")

    results = delete_data_assets(client, collect(["a", "b"]))

    assert {result.id: result.action for result in results} == {"a": "deleted", "b": "deleted"}


@pytest.mark.parametrize("collect", [list, tuple, iter, set])
def test_tags_may_be_any_list(sandbox: Sandbox, client: QlikCloudClient, collect: Any) -> None:
    add(sandbox, "a", tags=["tmp", "keep"])
    add(sandbox, "b", tags=["tmp"])

    results = clean_up_data_assets(
        client, rules(tags=collect(["tmp"])), DeletionGuards(None, None, collect(["keep"]))
    )

    assert {result.id: result.action for result in results} == {"b": "deleted"}
