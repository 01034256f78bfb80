"""Every operation under every fault: the catalog ends as wished, or a clear error says that nothing was done.

Each cell states which of the two is expected, so that a change of behaviour shows: "done" means that the
caller notices nothing, "refused" that a QlikCloudError is raised and the catalog is as before.

A cell is an operation, a fault and a way: the variant of Qlik Cloud in which the fault strikes once, or that
it strikes for ever. By default each two of the three meet in some cell; the other cells are marked ``slow``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import (
    delete_data_assets,
    patch_data_asset,
    set_data_freshness,
    upsert_data_asset,
)
from airflow_provider_qlik_assets.catalog.clean_up import CleanUpRules, clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import (
    ApiKey,
    OAuthClientSecret,
    QlikCloudClient,
    QlikCloudError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Clock

INSTANT = "2026-02-03T04:05:06.000Z"
LONG_AGO = "2026-01-01T00:00:00Z"
READ_TIMEOUT = 0.5

DONE, REFUSED = "done", "refused"


@dataclass(frozen=True)
class Operation:
    """Something that a task does, the request that carries it out, and the state that it wishes."""

    method: str
    path: str
    run: Callable[[QlikCloudClient, str, str], Any]
    wished: Callable[[list[dict[str, Any]]], bool]
    writes: bool = True


def upsert(client: QlikCloudClient, store_id: str, technical_name: str) -> str:
    wish = {"dataStoreInfo": {"id": store_id}, "technicalName": technical_name, "appType": "t", "name": "New"}
    return upsert_data_asset(client, wish).action


def clean_up_all(client: QlikCloudClient, store_id: str) -> list[str]:
    rules = CleanUpRules([store_id], 1.0, undated="use_last_modified")
    return [
        result.action for result in clean_up_data_assets(client, rules, DeletionGuards(max_fraction=None))
    ]


def named(assets: list[dict[str, Any]], technical_name: str) -> list[dict[str, Any]]:
    return [asset for asset in assets if asset["technicalName"] == technical_name]


OPERATIONS = {
    "upsert-create": Operation(
        "POST",
        "/api/v1/data-assets",
        lambda client, store_id, _: upsert(client, store_id, "fresh"),
        lambda assets: len(assets) == 2 and [asset["name"] for asset in named(assets, "fresh")] == ["New"],
    ),
    "upsert-update": Operation(
        "PATCH",
        "/api/v1/data-assets/*",
        lambda client, store_id, _: upsert(client, store_id, "old"),
        lambda assets: [asset["name"] for asset in assets] == ["New"],
    ),
    "patch": Operation(
        "PATCH",
        "/api/v1/data-assets/*",
        lambda client, _, data_asset_id: (
            patch_data_asset(
                client,
                data_asset_id,
                operations=[{"op": "add", "path": "/tags/-", "value": "b"}],
            ).action
        ),
        lambda assets: [asset["tags"] for asset in assets] == [["a", "b"]],
    ),
    "freshness": Operation(
        "PATCH",
        "/api/v1/data-assets/*",
        lambda client, _, data_asset_id: set_data_freshness(client, data_asset_id, INSTANT).action,
        lambda assets: [asset.get("dataFreshness") for asset in assets] == [INSTANT],
    ),
    "delete": Operation(
        "DELETE",
        "/api/v1/data-assets",
        lambda client, _, data_asset_id: delete_data_assets(client, [data_asset_id])[0].action,
        lambda assets: assets == [],
    ),
    "clean-up": Operation(
        "DELETE",
        "/api/v1/data-assets",
        lambda client, store_id, _: clean_up_all(client, store_id),
        lambda assets: assets == [],
    ),
    "list": Operation(
        "GET",
        "/api/v1/data-stores/*",
        lambda client, store_id, _: [asset.technical_name for asset in client.list_data_assets(store_id)],
        lambda assets: len(assets) == 1,
        writes=False,
    ),
    "get": Operation(
        "GET",
        "/api/v1/data-assets/*",
        lambda client, _, data_asset_id: client.get_data_asset(data_asset_id).technical_name,
        lambda assets: len(assets) == 1,
        writes=False,
    ),
    "token": Operation(
        "POST",
        "/oauth/token",
        lambda client, _, data_asset_id: client.get_data_asset(data_asset_id).technical_name,
        lambda assets: len(assets) == 1,
        writes=False,
    ),
}

RESULTS = {
    "upsert-create": "created",
    "upsert-update": "updated",
    "patch": "updated",
    "freshness": "updated",
    "delete": "deleted",
    "clean-up": ["deleted"],
    "list": ["old"],
    "get": "old",
    "token": "old",
}

FAULTS: dict[str, dict[str, Any]] = {
    "drop before": {"kind": "drop", "when": "before"},
    "drop after commit": {"kind": "drop", "when": "after"},
    "reset before": {"kind": "reset", "when": "before"},
    "reset after commit": {"kind": "reset", "when": "after"},
    "read time-out after commit": {"kind": "delay", "when": "after", "seconds": 4 * READ_TIMEOUT},
    "429 short": {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}},
    "429 long": {"kind": "status", "status": 429, "headers": {"Retry-After": "86400"}},
    "429 without header": {"kind": "status", "status": 429},
    "500 before": {"kind": "status", "status": 500, "when": "before"},
    "500 after commit": {"kind": "status", "status": 500, "when": "after"},
    "502 HTML": {"kind": "html", "status": 502, "when": "before"},
    "502 HTML after commit": {"kind": "html", "status": 502, "when": "after"},
    "503 with Retry-After": {
        "kind": "status",
        "status": 503,
        "headers": {"Retry-After": "3"},
        "when": "before",
    },
    "truncated JSON": {"kind": "truncate"},
    "200 HTML before": {"kind": "html", "status": 200, "when": "before"},
    "200 HTML after commit": {"kind": "html", "status": 200, "when": "after"},
    "302 without Location": {"kind": "status", "status": 302, "when": "before"},
    "304 after commit": {"kind": "status", "status": 304, "when": "after"},
    "206 after commit": {"kind": "status", "status": 206, "when": "after"},
    "401 expired token": {"kind": "revoke_token"},
}

# What a repetition cannot heal. The tenant's own word that a request failed (500) is believed after a look at
# the catalog; a page of HTML comes from another host; a quota that is away for a day is not waited for.
NEVER_HEALED = {"429 long", "500 before", "200 HTML before", "302 without Location"}
# The answer to a read is lost, whether it was "committed" or not.
LOST_READS = NEVER_HEALED | {
    "500 after commit",
    "200 HTML after commit",
    "304 after commit",
    "206 after commit",
}


def expected(operation: str, fault: str) -> str:
    if (operation, fault) == ("token", "401 expired token"):
        return REFUSED  # the credentials themselves are refused
    if (operation, fault) == ("upsert-create", "500 before"):
        return DONE  # not found by the look-up, so it is created again
    healed_by_nothing = NEVER_HEALED if OPERATIONS[operation].writes else LOST_READS
    return REFUSED if fault in healed_by_nothing else DONE


@pytest.fixture
def connect(qlik_sandbox: Sandbox) -> Callable[..., QlikCloudClient]:
    clock = Clock()

    def make(credentials: Any = None, **options: Any) -> QlikCloudClient:
        return QlikCloudClient(
            qlik_sandbox.url,
            credentials or OAuthClientSecret(qlik_sandbox.client_id, qlik_sandbox.client_secret),
            timeout=(READ_TIMEOUT, READ_TIMEOUT),
            rate_limit_store=MemoryStore(clock=clock),
            sleep=clock.sleep,
            **options,
        )

    return make


def seed(sandbox: Sandbox) -> tuple[str, str]:
    store_id = sandbox.add_store(name="warehouse")
    asset = sandbox.add_asset(
        data_store_id=store_id,
        technicalName="old",
        appType="t",
        name="Old",
        tags=["a"],
        createdTime=LONG_AGO,
        lastModifiedTime=LONG_AGO,
    )
    return store_id, asset["id"]


VARIANTS: dict[str, dict[str, Any]] = {
    "strict": {},
    "lenient": {
        "duplicate_technical_name": "allowed",
        "patch_answers_204": True,
        "failed_test_status": 400,
        "unset_fields": "null",
        "unknown_delete_ids": "ignored",
        "sort_by_two": False,
    },
    "412": {
        "failed_test_status": 412,
        "unchanged_write_raises_version": False,
        "first_version": 1,
        "unset_fields": "empty text",
        "meta_in_errors": "always",
    },
}


FOR_EVER = "for ever"


def ways_of(name: str, fault: str) -> list[str]:
    """Return the ways in which a fault strikes an operation."""
    ways = list(VARIANTS) if OPERATIONS[name].writes else ["strict"]
    return ways if fault == "401 expired token" else [*ways, FOR_EVER]


CELLS = [(name, fault, way) for name in OPERATIONS for fault in FAULTS for way in ways_of(name, fault)]
# One way for each operation and fault; from one to the next of either, the ways take turns.
BY_DEFAULT = {
    (name, fault, ways[(row + column) % len(ways)])
    for row, name in enumerate(OPERATIONS)
    for column, fault in enumerate(FAULTS)
    for ways in [ways_of(name, fault)]
}
STRIKES_ONCE = [cell for cell in CELLS if cell[2] != FOR_EVER]
STRIKES_FOR_EVER = [cell for cell in CELLS if cell[2] == FOR_EVER]


def marked(cells: list[tuple[str, str, str]]) -> list[Any]:
    """Return the cells as parameters."""
    return [pytest.param(*cell, marks=[] if cell in BY_DEFAULT else pytest.mark.slow) for cell in cells]


@pytest.mark.parametrize(("name", "fault", "variant"), marked(STRIKES_ONCE))
def test_the_catalog_ends_as_wished_or_nothing_was_done(
    name: str, fault: str, variant: str, qlik_sandbox: Sandbox, connect: Callable[..., QlikCloudClient]
) -> None:
    for setting, value in VARIANTS[variant].items():
        setattr(qlik_sandbox.settings, setting, value)
    operation = OPERATIONS[name]
    store_id, data_asset_id = seed(qlik_sandbox)
    before = qlik_sandbox.assets
    qlik_sandbox.add_fault(Fault(method=operation.method, path=operation.path, **FAULTS[fault]))

    client = connect()
    if expected(name, fault) == DONE:
        assert operation.run(client, store_id, data_asset_id) == RESULTS[name]
        assert operation.wished(list(qlik_sandbox.assets.values()))
    else:
        with pytest.raises(QlikCloudError) as caught:
            operation.run(client, store_id, data_asset_id)
        assert len(str(caught.value)) > 40
        assert qlik_sandbox.assets == before
    assert qlik_sandbox.faults == []


@pytest.mark.parametrize(("name", "fault", "way"), marked(STRIKES_FOR_EVER))
def test_a_fault_that_never_heals_ends_in_an_error_and_does_nothing_twice(
    name: str, fault: str, way: str, qlik_sandbox: Sandbox, connect: Callable[..., QlikCloudClient]
) -> None:
    qlik_sandbox.settings.duplicate_technical_name = "allowed"
    operation = OPERATIONS[name]
    store_id, data_asset_id = seed(qlik_sandbox)
    before = qlik_sandbox.assets
    kind = {**FAULTS[fault], **({"seconds": 2 * READ_TIMEOUT} if "time-out" in fault else {})}
    qlik_sandbox.add_fault(Fault(method=operation.method, path=operation.path, times=None, **kind))

    client = connect(retry=RetryPolicy(max_retries=2, max_retry_wait=30.0))
    try:
        result = operation.run(client, store_id, data_asset_id)
    except QlikCloudError:
        assert qlik_sandbox.assets == before or operation.wished(list(qlik_sandbox.assets.values()))
    else:
        # The answers are all lost, but reading shows that the change was made.
        assert operation.writes
        assert result == RESULTS[name]
        assert operation.wished(list(qlik_sandbox.assets.values()))


def test_a_revoked_api_key_ends_in_an_error(
    qlik_sandbox: Sandbox, connect: Callable[..., QlikCloudClient]
) -> None:
    store_id, _ = seed(qlik_sandbox)
    before = qlik_sandbox.assets
    qlik_sandbox.add_fault(Fault(kind="revoke_token", method="POST"))
    with pytest.raises(QlikCloudError, match="Check the API key"):
        upsert(connect(ApiKey(qlik_sandbox.api_key)), store_id, "fresh")
    assert qlik_sandbox.assets == before


def test_by_default_each_two_meet_in_a_cell_and_the_slow_ones_complete_the_matrix() -> None:
    tests: list[Any] = [
        test_the_catalog_ends_as_wished_or_nothing_was_done,
        test_a_fault_that_never_heals_ends_in_an_error_and_does_nothing_twice,
    ]
    parameters = [parameter for test in tests for mark in test.pytestmark for parameter in mark.args[1]]
    default = {parameter.values for parameter in parameters if not parameter.marks}
    matrix = {
        (name, fault, way)
        for name, fault, way in itertools.product(OPERATIONS, FAULTS, [*VARIANTS, FOR_EVER])
        # To a read the variants are all the same, and a new token ends any refusal of tokens.
        if way == "strict"
        or (way == FOR_EVER and fault != "401 expired token")
        or (way in VARIANTS and OPERATIONS[name].writes)
    }

    assert len(parameters) == len(matrix)
    assert {parameter.values for parameter in parameters} == matrix
    for one, other in itertools.combinations(range(3), 2):
        assert {(cell[one], cell[other]) for cell in default} == {(cell[one], cell[other]) for cell in matrix}
