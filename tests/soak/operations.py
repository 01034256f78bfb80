"""The operations of a soak's processes: random ones, and how each kind is carried out."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_qlik_assets.catalog import (
    CleanUpRules,
    DeletionGuards,
    Result,
    Sync,
    clean_up_data_assets,
    delete_data_assets,
    find_data_asset,
    patch_data_asset,
    set_data_freshness,
    upsert_data_asset,
)
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness_of_many
from airflow_provider_qlik_assets.client import QlikCloudClient

STORES = ("store-0", "store-1", "store-2")
NAMES = tuple(f"table_{number:02}" for number in range(20))
"""Technical names, the same in each data store."""

WEIGHTS = {
    "upsert": 30,
    "patch": 16,
    "stamp": 16,
    "stamp_many": 8,
    "sync": 6,
    "sync_and_delete": 4,
    "clean_up": 5,
    "delete": 6,
    "find": 6,
}
_STALE_AFTER_SECONDS = 12.0
_GUARDS = DeletionGuards(max_deletions=30, max_fraction=0.9)

Arguments = dict[str, Any]
Note = Callable[..., None]


def property_of(worker: int) -> str:
    """Return the key of the property that only one worker writes."""
    return f"worker_{worker}"


def decide(rng: random.Random, worker: int, number: int, known: dict[tuple[str, str], str]) -> Arguments:
    """Return a random operation as JSON, with its ``kind``.

    :param worker: who carries it out.
    :param number: of the operation; it is the value of the worker's property.
    :param known: ids of data assets by data store and technical name.
    """
    kind = rng.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
    if kind in {"patch", "stamp", "stamp_many", "delete"} and not known:
        kind = "find"
    store = STORES[_uneven(rng, len(STORES))]
    name = NAMES[_uneven(rng, len(NAMES))]
    age = rng.uniform(0, 1.5 * _STALE_AFTER_SECONDS)
    instant = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="milliseconds")
    mark = {"properties": {property_of(worker): number}}
    ids = sorted(known.values())
    match kind:
        case "upsert":
            fields = {**mark, **({"dataFreshness": instant} if rng.random() < 0.5 else {})}
            return {"kind": kind, "store": store, "names": [name], "fields": fields}
        case "find":
            return {"kind": kind, "store": store, "names": [name]}
        case "patch":
            return {"kind": kind, "ids": [rng.choice(ids)], "fields": mark}
        case "stamp":
            return {"kind": kind, "ids": [rng.choice(ids)], "instant": instant}
        case "stamp_many":
            chosen = rng.sample(ids, min(len(ids), rng.randint(2, 6)))
            return {"kind": kind, "ids": chosen, "instant": instant}
        case "delete":
            return {"kind": kind, "ids": rng.sample(ids, min(len(ids), rng.randint(1, 3)))}
        case "sync":
            names = rng.sample(NAMES, rng.randint(4, 12))
            fields = {**mark, **({"dataFreshness": instant} if rng.random() < 0.5 else {})}
            return {"kind": kind, "store": store, "names": names, "fields": fields}
        case "sync_and_delete":
            names = rng.sample(NAMES, rng.randint(14, 19))
            return {"kind": kind, "store": store, "names": names, "fields": mark}
        case _:
            stores = [store] if rng.random() < 0.5 else list(STORES)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            return {"kind": kind, "stores": stores, "now": now, "stale_after": _STALE_AFTER_SECONDS}


def _uneven(rng: random.Random, number: int) -> int:
    """Return a number below another one, most often a small one: some names are popular."""
    return int(number * rng.random() ** 3)


def carry_out(client: QlikCloudClient, operation: Arguments, note: Note) -> list[Result]:
    """Carry an operation out.

    :param note: called with what is known before the end and is needed to judge it.
    """
    ids = operation.get("ids", [])
    match operation["kind"]:
        case "upsert":
            return [upsert_data_asset(client, _wish(operation, operation["names"][0]))]
        case "find":
            found = find_data_asset(client, operation["store"], operation["names"][0])
            return [Result(found.id or "", "unchanged", found)] if found else []
        case "patch":
            return [patch_data_asset(client, ids[0], changes=operation["fields"])]
        case "stamp":
            return [set_data_freshness(client, ids[0], operation["instant"])]
        case "stamp_many":
            return set_data_freshness_of_many(client, ids, operation["instant"])
        case "delete":
            return delete_data_assets(client, ids)
        case "clean_up":
            rules = CleanUpRules(
                operation["stores"],
                stale_after=operation["stale_after"],
                now=datetime.fromisoformat(operation["now"]),
            )
            return [*clean_up_data_assets(client, rules, _GUARDS)]
        case _:
            return _sync(client, operation, note)


def _wish(operation: Arguments, name: str) -> Arguments:
    named = {"dataStoreInfo": {"id": operation["store"]}, "technicalName": name, "appType": "airflow"}
    return {**named, **operation["fields"]}


def _sync(client: QlikCloudClient, operation: Arguments, note: Note) -> list[Result]:
    """Do what ``sync_data_assets`` does, and write down what the plan wants to delete."""
    sync = Sync(
        client,
        operation["store"],
        [_wish(operation, name) for name in operation["names"]],
        delete_unlisted=operation["kind"] == "sync_and_delete",
        guards=_GUARDS,
    )
    plan = sync.plan()
    note(to_delete={asset.id: asset.version for asset in plan.to_delete}, plan=str(plan))
    return sync.apply(plan)
