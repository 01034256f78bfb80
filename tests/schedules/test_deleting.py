"""Tasks that delete what others refresh or create, in every order in which their requests may arrive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import (
    CleanUpRules,
    DeletionGuards,
    Result,
    Sync,
    clean_up_data_assets,
    delete_data_assets,
    set_data_freshness,
    upsert_data_asset,
)
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikCloudError
from airflow_provider_qlik_assets.client.paths import ME_PATH
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.tenant import ASSET
from tests.schedules.explorer import Choices, Every, Run, Some
from tests.schedules.world import Task, World

NOW = datetime(2026, 7, 1, tzinfo=UTC)
STALE, FRESH = "2026-01-01T00:00:00.000Z", "2026-06-30T00:00:00.000Z"
RULES = CleanUpRules(["store"], 86_400.0, now=NOW)
ANY_AGE = CleanUpRules(["store"], 1.0, undated="use_last_modified", now=datetime(2100, 1, 1, tzinfo=UTC))
NO_LIMITS = DeletionGuards(None, None)
IDS = [f"id-{number:03}" for number in range(100)]
LISTED = {"dataStoreInfo": {"id": "store"}, "technicalName": "listed", "appType": "dbt"}
WISH = {**LISTED, "technicalName": "id-000", "name": "New"}

Work = Callable[[QlikCloudClient], Any]


class WatchedWorld(World):
    """A world that remembers what each task read of each data asset, first and last, before it deleted it.

    :ivar existed: ids of the data assets that existed when a task last looked at any, by the task's name.
    :ivar kept: for each deletion, the task's name and what else existed at its last look before.
    """

    def __init__(self, choices: Choices, **options: Any) -> None:
        super().__init__(choices, **options)
        self.deletions: list[tuple[Document, Document]] = []
        self.existed: dict[str, set[str]] = {}
        self.kept: list[tuple[str, set[str]]] = []
        self._reads: dict[tuple[str, str], list[Document]] = {}

    def seed(self, *names: str, freshness: str = STALE) -> None:
        """Put data assets in place, each with its name as id."""
        for name in names:
            times = {"dataFreshness": freshness, "createdTime": STALE, "lastModifiedTime": STALE}
            self.tenant.seed(ASSET, {**LISTED, "id": name, "technicalName": name, **times})

    def request(
        self, method: str, path: str, params: dict[str, str], body: Any, *, is_repeatable: bool
    ) -> str | None:
        task = self._current().name
        if method == "DELETE":
            self.kept.append((task, self.existed[task] - set(body["ids"])))
            reads = [self._reads[task, key] for key in body["ids"]]
            self.deletions += [(first, last) for first, *_, last in ([read[0], *read] for read in reads)]
        try:
            answer = super().request(method, path, params, body, is_repeatable=is_repeatable)
        finally:
            if path != ME_PATH:
                self.existed[task] = set(self.assets)
        if answer and method == "GET" and "projections" not in params:
            document = json.loads(answer)
            for found in document.get("data", [document]):
                if "id" in found:
                    self._reads.setdefault((task, found["id"]), []).append(found)
        return answer


def clean_up(client: QlikCloudClient, rules: CleanUpRules = RULES) -> dict[str, str]:
    return {result.id: result.action for result in clean_up_data_assets(client, rules, NO_LIMITS)}


def sync(client: QlikCloudClient) -> dict[str, str]:
    task = Sync(client, "store", [LISTED], delete_unlisted=True, guards=NO_LIMITS)
    return {result.id: result.action for result in task.apply(task.plan()) if result.action != "unchanged"}


def stamp(key: str) -> Work:
    return lambda client: set_data_freshness(client, key, FRESH)


def check_what_was_deleted(world: WatchedWorld, tasks: list[Task], ids: set[str]) -> None:
    stamped, deleter = tasks
    story = world.story()
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
        assert (key in world.assets) == (action == "skipped") or world.has_late_commit, story
        assert action != "missing", story
    if stamped.result is None:
        assert isinstance(stamped.error, QlikCloudError), story
    if not world.faults:
        assert deleter.result.get("a") == "deleted" or stamped.result, story
        assert all(action == "deleted" for key, action in deleter.result.items() if key != "a"), story


def a_stamp_and_a_deletion(delete: Work, *ids: str, **options: Any) -> Run:
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
def test_what_was_stamped_at_the_last_look_is_not_deleted_in_any_order(
    delete: Work, ids: str, every: Every
) -> None:
    assert every(a_stamp_and_a_deletion(delete, *ids)).schedules >= 3


@pytest.mark.slow
@pytest.mark.parametrize("delete", [clean_up, sync])
@pytest.mark.parametrize("ids", ["a", "ab"])
def test_nor_with_any_request_or_answer_lost_or_late(delete: Work, ids: str, every: Every) -> None:
    assert every(a_stamp_and_a_deletion(delete, *ids, faults=1)).schedules > 100


@pytest.mark.slow
@pytest.mark.parametrize("delete", [clean_up, sync])
@pytest.mark.parametrize("ids", ["a", "ab"])
def test_nor_with_any_two(delete: Work, ids: str, some: Some) -> None:
    assert some(a_stamp_and_a_deletion(delete, *ids, faults=2), 300).schedules > 100


def clean_up_all(client: QlikCloudClient) -> dict[str, str]:
    return clean_up(client, ANY_AGE)


def delete_first(client: QlikCloudClient) -> dict[str, str]:
    return {result.id: result.action for result in delete_data_assets(client, ["id-000"])}


def clock() -> float:
    return time.monotonic()  # the world's, as soon as it runs


def upsert_one(client: QlikCloudClient) -> Result:
    return upsert_data_asset(client, WISH, visible_after=2.0)


def sync_one(client: QlikCloudClient) -> Result:
    task = Sync(client, "store", [WISH], visible_after=2.0, clock=clock)
    return task.apply(task.plan())[0]


def creators_and_a_deleter(
    delete: Work, *create: Work, exists: bool = False, ids: list[str] = IDS, **options: Any
) -> Run:
    """Return a run of tasks that create the same data asset, and of one that deletes it.

    :param exists: whether there is such a data asset at first.
    """

    def run(choices: Choices) -> None:
        world = WatchedWorld(choices, ids=ids[1:] if exists else ids, **options)
        if exists:
            world.seed("id-000")
        creators = [world.task(f"creator {number}", work) for number, work in enumerate(create)]
        deleter = world.task("deleter", delete)
        world.run()
        check_what_was_created(world, creators, deleter)

    return run


def check_what_was_created(world: WatchedWorld, creators: list[Task], deleter: Task) -> None:
    story = world.story()
    deleted = {key for name, key in world.deleted if name == deleter.name}
    for task in [*creators, deleter]:
        assert isinstance(task.error, QlikCloudError) if task.result is None else not task.error, story
        # What was deleted before its creator saw it may also be something that it may not see.
        own = {key for key, name in world.creators.items() if name == task.name}
        assert task.result is not None or world.faults or own & deleted, story
    for creator in creators:
        assert creator.result is None or creator.result.id in world.existed[creator.name], story
    for key, action in (deleter.result or {}).items():
        assert action != "deleted" or key not in world.assets or world.has_late_commit, story
    # Only the deleter deletes what others have created.
    assert all(name in {deleter.name, world.creators.get(key)} for name, key in world.deleted), story
    # A creator deletes its own one only while the first one exists.
    assert all(others for name, others in world.kept if name != deleter.name), story
    if not world.faults:
        told = {creator.result.id for creator in creators if creator.result}
        assert len(world.assets) <= 1, story
        # A creator that was about to delete its own one does so although the first is deleted meanwhile.
        assert world.assets.keys() <= told, story
        assert world.assets or told <= deleted, story


one_deleter = pytest.mark.parametrize("delete", [clean_up_all, delete_first])


@one_deleter
@pytest.mark.parametrize("create", [upsert_one, sync_one])
@pytest.mark.parametrize("exists", [False, True])
def test_a_creator_tells_an_id_that_existed_when_it_last_looked_in_every_order(
    delete: Work, create: Work, exists: bool, every: Every
) -> None:
    assert every(creators_and_a_deleter(delete, create, exists=exists)).schedules > 1


@pytest.mark.slow
@one_deleter
@pytest.mark.parametrize("create", [upsert_one, sync_one])
@pytest.mark.parametrize("exists", [False, True])
def test_and_with_any_request_or_answer_lost_or_late(
    delete: Work, create: Work, exists: bool, every: Every
) -> None:
    assert every(creators_and_a_deleter(delete, create, exists=exists, faults=1)).schedules > 20


@pytest.mark.slow
@one_deleter
@pytest.mark.parametrize("ids", [IDS, IDS[::-1]], ids=["ids ascend", "ids descend"])
@pytest.mark.parametrize("create", [(upsert_one, upsert_one), (upsert_one, sync_one)])
@pytest.mark.parametrize("faults", [0, 1])
def test_two_creators_and_a_deleter_leave_at_most_one(
    delete: Work, create: tuple[Work, Work], ids: list[str], faults: int, some: Some
) -> None:
    assert some(creators_and_a_deleter(delete, *create, ids=ids, faults=faults), 200).schedules > 90


@pytest.mark.parametrize("create", [upsert_one, sync_one])
def test_a_creator_does_not_delete_what_another_one_has_stamped_in_some_orders(
    create: Work, some: Some
) -> None:
    def run(choices: Choices) -> None:
        world = WatchedWorld(choices, ids=IDS)
        creators = [world.task("a", upsert_one), world.task("b", create)]
        world.task("stamp", stamp("id-001"))
        world.run()
        assert all(last["version"] == world.tenant.settings.first_version for _, last in world.deletions), (
            world.story()
        )
        assert all(task.result.id in world.existed[task.name] for task in creators), world.story()
        # A stamp that has found none yet ends with an error; one that was in time is kept or reported.
        assert len(world.assets) == 1 or "merge them" in world.story()

    assert some(run, 100).schedules > 60
