"""Tasks that change the same data asset, in every order in which their requests may arrive."""

from __future__ import annotations

from airflow_provider_qlik_assets.catalog import set_data_freshness, upsert_data_asset
from airflow_provider_qlik_assets.client import QlikCloudClient
from tests.schedules.explorer import Choices, Every, Run, Some
from tests.schedules.test_deleting import FRESH, LISTED, STALE, WatchedWorld, stamp

EARLIER = "2026-06-29T00:00:00.000Z"


def describe(client: QlikCloudClient) -> object:
    return upsert_data_asset(client, {**LISTED, "id": "a", "technicalName": "a", "name": "New"})


def changes(faults: int) -> Run:
    def run(choices: Choices) -> None:
        world = WatchedWorld(choices, faults=faults, retries=faults)
        world.seed("a", freshness=STALE)
        tasks = [
            world.task("fresh", stamp("a")),
            world.task("earlier", lambda client: set_data_freshness(client, "a", EARLIER)),
            world.task("describe", describe),
        ]
        world.run()
        assert all(task.result for task in tasks), world.story()
        document = world.assets["a"]
        assert (document["dataFreshness"], document["name"]) == (FRESH, "New"), world.story()

    return run


def test_no_change_is_lost_and_freshness_never_goes_back_in_every_order(every: Every) -> None:
    assert every(changes(faults=0)).schedules > 5


def test_nor_with_a_request_or_answer_lost_or_late_in_some_orders(some: Some) -> None:
    assert some(changes(faults=1), 100).schedules > 80
