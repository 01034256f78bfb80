"""Tasks that create the same data asset, in every order in which their requests may arrive."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Result, Sync, upsert_data_asset
from airflow_provider_qlik_assets.client import QlikCloudClient
from tests.schedules.explorer import Choices, explore, sample
from tests.schedules.world import Task, World

VISIBLE_AFTER = 2.0
IDS = {
    "ids ascend": [f"id-{number:03}" for number in range(100)],
    "ids descend": [f"id-{number:03}" for number in range(99, -1, -1)],
}
STEPS = {"no request takes time": 0.0, "each request takes a millisecond": 0.001}
REPORTS = (
    "have the same technical name",
    "data assets with the technical name",
    "two data assets with the same technical name",
)

Work = Callable[[QlikCloudClient], Any]


def clock() -> float:
    return time.monotonic()  # the world's, as soon as it runs


def wish(name: str) -> dict[str, Any]:
    store = {"id": "store"}
    return {"dataStoreInfo": store, "technicalName": "orders", "appType": "dbt", "properties": {name: True}}


def upsert(name: str) -> Work:
    return lambda client: upsert_data_asset(client, wish(name), visible_after=VISIBLE_AFTER)


def sync(name: str) -> Work:
    def work(client: QlikCloudClient) -> Result:
        task = Sync(client, "store", [wish(name)], visible_after=VISIBLE_AFTER, clock=clock)
        return task.apply(task.plan())[0]

    return work


def check(world: World, tasks: list[Task]) -> None:
    """Make sure that one data asset is left, that holds what all wanted, and that all were told which."""
    ends = [f"{task.name}: {task.result or task.error!r}" for task in tasks]
    story = "\n".join([*world.log, *world.reported, *ends])
    assert all(task.result or task.error for task in tasks), story
    told = {task.result.id for task in tasks if task.result}
    assert len(told) <= 1, story
    if len(world.assets) != 1:
        # Nobody deletes what another task may have created: two that remain are reported.
        assert 1 < len(world.assets) <= 1 + len(world.faults), story
        assert any(report in line for report in REPORTS for line in world.reported), story
    for key in told:
        assert key in world.assets, story
        properties = world.assets[key]["properties"]
        assert all(properties.get(task.name) for task in tasks if task.result), story
    if not world.faults:
        assert all(task.result for task in tasks), story
        assert sum(task.result.action == "created" for task in tasks) == 1, story


def creators(works: dict[str, Work], **options: Any) -> Callable[[Choices], None]:
    def run(choices: Choices) -> None:
        world = World(choices, **options)
        tasks = [world.task(name, work) for name, work in works.items()]
        world.run()
        check(world, tasks)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("other", [upsert, sync])
def test_tasks_that_create_the_same_at_the_same_moment_end_with_one_in_every_order(
    ids: list[str], step: float, other: Any
) -> None:
    assert explore(creators({"a": upsert("a"), "b": other("b")}, ids=ids, step=step)) > 1000


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("faults", [0, 1, 3])
def test_some_creators_end_with_one_in_some_orders(ids: list[str], faults: int) -> None:
    works = {"a": upsert("a"), "b": sync("b"), "c": upsert("c")}
    sample(creators(works, ids=ids, faults=faults), 60, seed=faults)


@pytest.mark.slow
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_three_creators_end_with_one_in_ten_thousand_orders(ids: list[str]) -> None:
    works = {"a": upsert("a"), "b": sync("b"), "c": upsert("c")}
    sample(creators(works, ids=ids), 5000, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("other", [upsert, sync])
def test_two_creators_of_whom_one_loses_a_request_or_an_answer(ids: list[str], other: Any) -> None:
    explore(creators({"a": upsert("a"), "b": other("b")}, ids=ids, faults=1))
