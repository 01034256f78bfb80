"""Tasks that delete what others refresh or create, in every order in which their requests may arrive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import (
    CleanUpRules,
    DeletionGuards,
    Sync,
    clean_up_data_assets,
    delete_data_assets,
    set_data_freshness,
    upsert_data_asset,
)
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikCloudError
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.tenant import ASSET
from tests.schedules.explorer import Choices, explore, sample
from tests.schedules.world import Task, World

NOW = datetime(2026, 7, 1, tzinfo=UTC)
STALE, FRESH = "2026-01-01T00:00:00.000Z", "2026-06-30T00:00:00.000Z"
RULES = CleanUpRules(["store"], 86_400.0, now=NOW)
ANY_AGE = CleanUpRules(["store"], 1.0, undated="use_last_modified", now=datetime(2100, 1, 1, tzinfo=UTC))
NO_LIMITS = DeletionGuards(None, None)
LISTED = {"dataStoreInfo": {"id": "store"}, "technicalName": "listed", "appType": "dbt"}

Work = Callable[[QlikCloudClient], Any]


class WatchedWorld(World):
    """A world that remembers what each task read of each data asset, first and last, before it deleted it."""

    def __init__(self, choices: Choices, **options: Any) -> None:
        super().__init__(choices, **options)
        self.deletions: list[tuple[Document, Document]] = []
        self._reads: dict[tuple[str, str], list[Document]] = {}

    def seed(self, *names: str, freshness: str = STALE) -> None:
        """Put data assets in place, each with its name as id."""
        for name in names:
            times = {"dataFreshness": freshness, "createdTime": STALE, "lastModifiedTime": STALE}
            self.tenant.seed(ASSET, {**LISTED, "id": name, "technicalName": name, **times})

    def request(self, method: str, path: str, params: dict[str, str], body: Any) -> Any:
        task = self._current().name
        if method == "DELETE":
            reads = [self._reads[task, key] for key in body["ids"]]
            self.deletions += [(first, last) for first, *_, last in ([read[0], *read] for read in reads)]
        document = super().request(method, path, params, body)
        if method == "GET" and "projections" not in params:
            for found in document.get("data", [document]):
                if "id" in found:
                    self._reads.setdefault((task, found["id"]), []).append(found)
        return document

    def story(self, tasks: list[Task]) -> str:
        """Return what happened, for a test that fails."""
        ends = [f"{task.name}: {task.result or task.error!r}" for task in tasks]
        return "\n".join([*self.log, *self.reported, *ends])


def clean_up(client: QlikCloudClient, rules: CleanUpRules = RULES) -> dict[str, str]:
    return {result.id: result.action for result in clean_up_data_assets(client, rules, NO_LIMITS)}


def sync(client: QlikCloudClient) -> dict[str, str]:
    task = Sync(client, "store", [LISTED], delete_unlisted=True, guards=NO_LIMITS)
    return {result.id: result.action for result in task.apply(task.plan()) if result.action != "unchanged"}


def stamp(key: str) -> Work:
    return lambda client: set_data_freshness(client, key, FRESH)


def check_what_was_deleted(world: WatchedWorld, tasks: list[Task], ids: set[str]) -> None:
    stamped, deleter = tasks
    story = world.story(tasks)
    for first, last in world.deletions:
        assert last["version"] == first["version"], story
        assert last["dataFreshness"] == STALE or deleter.name == "sync", story
    if deleter.result is None:
        assert isinstance(deleter.error, QlikCloudError), story
        return
    # A clean-up does not select what was stamped before it.
    assert deleter.result.keys() | {"a"} == ids, story
    for key, action in deleter.result.items():
        # A deletion that is carried out after its answer was lost may be unknown to its own task.
        assert (key in world.assets) == (action == "skipped") or "late" in world.faults, story
        assert action != "missing", story
    if stamped.result is None:
        assert isinstance(stamped.error, QlikCloudError), story
    if not world.faults:
        assert deleter.result.get("a") == "deleted" or stamped.result, story
        assert all(action == "deleted" for key, action in deleter.result.items() if key != "a"), story


def a_stamp_and_a_deletion(delete: Work, *ids: str, **options: Any) -> Callable[[Choices], None]:
    def run(choices: Choices) -> None:
        world = WatchedWorld(choices, **options)
        world.seed("listed", freshness=FRESH)
        world.seed(*ids)
        tasks = [world.task("stamp", stamp("a")), world.task(delete.__name__, delete)]
        world.run()
        check_what_was_deleted(world, tasks, set(ids))

    return run


@pytest.mark.parametrize("delete", [clean_up, sync])
@pytest.mark.parametrize("ids", ["a", "ab"])
def test_what_was_stamped_at_the_last_look_is_not_deleted_in_any_order(delete: Work, ids: str) -> None:
    assert explore(a_stamp_and_a_deletion(delete, *ids)) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("delete", [clean_up, sync])
@pytest.mark.parametrize("ids", ["a", "ab"])
def test_nor_if_a_request_or_an_answer_is_lost(delete: Work, ids: str) -> None:
    assert explore(a_stamp_and_a_deletion(delete, *ids, faults=1)) > 100


def clean_up_all(client: QlikCloudClient) -> dict[str, str]:
    return clean_up(client, ANY_AGE)


def delete_first(client: QlikCloudClient) -> dict[str, str]:
    return {result.id: result.action for result in delete_data_assets(client, ["id-000"])}


def a_creator_and_a_deleter(delete: Work, *, exists: bool, **options: Any) -> Callable[[Choices], None]:
    def run(choices: Choices) -> None:
        world = WatchedWorld(choices, ids=(f"id-{number:03}" for number in range(1, 100)), **options)
        if exists:
            world.seed("id-000")
        wish = {**LISTED, "technicalName": "id-000", "name": "New"}

        def upsert(client: QlikCloudClient) -> tuple[str, bool]:
            result = upsert_data_asset(client, wish, visible_after=2.0)
            return result.id, result.id in world.assets

        tasks = [world.task("upsert", upsert), world.task("delete", delete)]
        world.run()
        story = world.story(tasks)
        for task in tasks:
            assert task.result is not None or isinstance(task.error, QlikCloudError), story
        creator, deleter = tasks
        if creator.result is not None:
            key, existed = creator.result
            # What it has created, another task may delete before it ends.
            assert existed or (key != "id-000" and key in (deleter.result or {key: ""})), story
        if not world.faults:
            assert creator.result is not None, story
            assert deleter.result is not None, story
        for key, action in (deleter.result or {}).items():
            assert action == "skipped" or key not in world.assets or "late" in world.faults, story

    return run


@pytest.mark.parametrize("faults", [0, 1])
@pytest.mark.parametrize("delete", [clean_up_all, delete_first])
@pytest.mark.parametrize("exists", [False, True])
def test_an_upsert_tells_an_id_that_exists_when_it_ends_in_some_orders(
    delete: Work, faults: int, exists: bool
) -> None:
    sample(a_creator_and_a_deleter(delete, exists=exists, faults=faults), 40, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("delete", [clean_up_all, delete_first])
@pytest.mark.parametrize("exists", [False, True])
def test_an_upsert_tells_an_id_that_exists_when_it_ends_in_every_order(delete: Work, exists: bool) -> None:
    assert explore(a_creator_and_a_deleter(delete, exists=exists)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("delete", [clean_up_all, delete_first])
@pytest.mark.parametrize("exists", [False, True])
def test_and_if_a_request_or_an_answer_is_lost(delete: Work, exists: bool) -> None:
    sample(a_creator_and_a_deleter(delete, exists=exists, faults=1), 1000, seed=2)
