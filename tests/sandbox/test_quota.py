"""Rate limits: the rule itself with a clock of the test's own, and over HTTP with compressed time."""

import time
from typing import Any

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Sandbox, SandboxSettings
from airflow_provider_qlik_assets.sandbox.quota import RequestQuota


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def quota(**settings: Any) -> tuple[RequestQuota, Clock]:
    clock = Clock()
    settings = {"tier1_limit": 4, "tier2_limit": 2, "window_seconds": 10, **settings}
    return RequestQuota(SandboxSettings(**settings), clock), clock


def test_the_documented_limits_are_the_default() -> None:
    settings = SandboxSettings()
    assert (settings.limit(1), settings.limit(2), settings.window_length) == (5000, 500, 300)


def test_the_whole_limit_may_be_used_at_once() -> None:
    limits, _ = quota()
    assert [limits.admit("u", 2) for _ in range(3)] == [None, None, 10]


def test_users_and_tiers_do_not_disturb_each_other() -> None:
    limits, _ = quota()
    limits.consume("u", 2, 2)
    assert limits.admit("u", 2) == 10
    assert limits.admit("u", 1) is None
    assert limits.admit("v", 2) is None


def test_a_rolling_window_frees_a_slot_when_the_oldest_request_has_left_it() -> None:
    limits, clock = quota()
    assert limits.admit("u", 2) is None
    clock.now += 4
    assert limits.admit("u", 2) is None
    clock.now += 5.99
    assert limits.admit("u", 2) == 1
    clock.now += 1
    assert limits.admit("u", 2) is None
    assert limits.admit("u", 2) == 4


def test_a_fixed_window_frees_all_at_its_end() -> None:
    limits, clock = quota(window="fixed")
    clock.now += 7.5
    assert [limits.admit("u", 2) for _ in range(3)] == [None, None, 3]
    clock.now += 2.5
    assert limits.admit("u", 2) == 1
    clock.now += 0.5
    assert [limits.admit("u", 2) for _ in range(2)] == [None, None]
    assert limits.admit("u", 2) == 10


def test_the_block_lasts_for_the_advertised_seconds() -> None:
    limits, clock = quota()
    limits.admit("u", 2)
    limits.admit("u", 2)
    clock.now += 9.5
    assert limits.admit("u", 2) == 1
    clock.now += 0.99
    assert limits.admit("u", 2) == 1
    clock.now += 0.02
    assert limits.admit("u", 2) is None


def test_consumption_by_others_delays_until_enough_of_it_has_left() -> None:
    limits, clock = quota()
    limits.consume("u", 2, 5)
    clock.now += 3
    limits.consume("u", 2, 2)
    assert limits.admit("u", 2) == 10
    clock.now += 10
    assert [limits.admit("u", 2) for _ in range(3)] == [None, None, 10]


@pytest.mark.parametrize(("counted", "later"), [(False, None), (True, 10)])
def test_refused_requests_count_if_the_switch_says_so(counted: bool, later: int | None) -> None:
    limits, clock = quota(refused_requests_count=counted)
    limits.consume("u", 2, 2)
    clock.now += 9.9
    assert [limits.admit("u", 2) for _ in range(2)] == [1, 1]
    clock.now += 1.1
    assert limits.admit("u", 2) == (None if later is None else 9)


def test_the_tenant_has_a_limit_of_its_own_if_the_switch_says_so() -> None:
    limits, _ = quota(tier2_limit=10, tenant_users=3)
    limits.consume("u", 2, 9)
    limits.consume("v", 2, 6)
    assert limits.admit("w", 2) == 10
    assert limits.admit("w", 1) is None


def test_time_is_compressed() -> None:
    limits, clock = quota(time_factor=5)
    limits.consume("u", 2, 2)
    assert limits.admit("u", 2) == 2
    clock.now += 2
    assert limits.admit("u", 2) is None


def test_over_the_limit_a_tier_is_blocked_for_its_user_with_the_documented_answer(
    sandbox: Sandbox, api, reader
) -> None:
    key = sandbox.add_asset(technicalName="orders")["id"]
    sandbox.consume_quota(tier=2, requests=499)
    assert api.asset("PATCH", key, json=[]).status_code == 200
    refused = api.asset("PATCH", key, json=[{"op": "remove", "path": "/appType"}])
    assert refused.status_code == 429
    seconds = int(refused.headers["Retry-After"])
    assert 298 <= seconds <= 300
    error = refused.json()["errors"][0]
    assert (error["code"], error["title"]) == ("HTTP-429", "API rate limit reached.")
    assert error["detail"] == f"You need to wait {seconds} seconds until limit is lifted."
    assert refused.json()["traceId"]
    assert api.create().status_code == api("DELETE", "/api/v1/data-assets", json={}).status_code == 429
    assert api.asset("GET", key).status_code == 200
    assert reader.create().status_code == 403
    assert [entry.counted for entry in sandbox.journal.requests(path="/api/v1/data-assets")] == [
        True, False, False, False, True, True,
    ]  # fmt: skip


def test_token_requests_use_tier_2_of_the_client(sandbox: Sandbox) -> None:
    sandbox.consume_quota(tier=2, requests=500, user_id="user-oauth-client")
    body = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    }
    assert requests.post(f"{sandbox.url}/oauth/token", json=body, timeout=30).status_code == 429
    body["client_id"] = "unknown"
    assert requests.post(f"{sandbox.url}/oauth/token", json=body, timeout=30).status_code == 401


def test_a_client_that_waits_as_told_gets_through_in_compressed_time(sandbox: Sandbox, api) -> None:
    sandbox.settings.time_factor = 100
    sandbox.settings.tier1_limit = 10
    started = time.monotonic()
    statuses: list[int] = []
    while statuses.count(200) < 25:
        response = api.list()
        statuses.append(response.status_code)
        if response.status_code == 429:
            wait = int(response.headers["Retry-After"])
            assert 1 <= wait <= 3
            time.sleep(wait)
    assert statuses.count(429) == 2
    assert 2 <= time.monotonic() - started < 60  # two windows of 5 minutes, but for the compression
    assert sandbox.journal.busiest_window(tier=1, seconds=3) <= 11
