"""The fallback: requests go on, everybody is warned once, and the primary store is used again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from airflow_provider_qlik_assets.client.host_state import StateUnavailableError
from airflow_provider_qlik_assets.client.rate_limit.fallback import FallbackStore
from airflow_provider_qlik_assets.client.rate_limit.file import FileStore
from airflow_provider_qlik_assets.client.rate_limit.ledger import Quota
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimiter, Tier
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.client.rate_limit.open_store import check_store
from airflow_provider_qlik_assets.client.rate_limit.redis import RedisStore

QUOTA = Quota(permits=5, window=60.0)
SPACING = 12.0
EVER = 1e9


class Unreliable(MemoryStore):
    """A store that can be away, and counts how often somebody came."""

    is_away = False
    visits = 0

    def _apply(self, key, quota, operation):
        self.visits += 1
        if self.is_away:
            raise StateUnavailableError("redis://host", "it is away")
        return super()._apply(key, quota, operation)

    def __str__(self) -> str:
        return "redis://host"


@pytest.fixture
def primary(clock) -> Unreliable:
    return Unreliable(clock=clock)


@pytest.fixture
def fallback(primary: Unreliable, clock) -> FallbackStore:
    return FallbackStore(primary, MemoryStore(clock=clock), clock=clock)


def _delay(store, key: str) -> float:
    return store.ask(key, QUOTA, 0, -1.0).delay


def _burst(store, key: str) -> int:
    """Return how many are granted at once."""
    count = 0
    while store.ask(key, QUOTA, 0, 0.0).granted:
        count += 1
    return count


def test_primary_is_used_while_it_is_there(fallback, primary, key: str) -> None:
    assert _burst(fallback, key) == 5
    assert _delay(primary, key) == 60


def test_secondary_takes_over_slowly(fallback, primary, key: str) -> None:
    primary.is_away = True

    assert _burst(fallback, key) == 1
    assert _delay(fallback, key) == SPACING


def test_secondary_allows_bursts_after_one_window(fallback, primary, key: str, clock) -> None:
    primary.is_away = True
    fallback.ask(key, QUOTA, 0, EVER)
    clock.sleep(60)

    assert _burst(fallback, key) == 5


def test_primary_is_left_alone_for_a_while(fallback, primary, key: str, clock) -> None:
    primary.is_away = True
    for _ in range(9):
        fallback.ask(key, QUOTA, 0, EVER)
        clock.sleep(1)

    assert primary.visits == 1


def test_primary_is_used_again_slowly(fallback, primary, key: str, clock) -> None:
    primary.is_away = True
    fallback.ask(key, QUOTA, 0, EVER)
    primary.is_away = False
    clock.sleep(10)

    assert _burst(fallback, key) == 1
    assert _delay(primary, key) == SPACING


def test_outage_is_reported_once_and_its_end_too(
    fallback, primary, key: str, clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for is_away in (False, True, True, False, False):
            primary.is_away = is_away
            fallback.ask(key, QUOTA, 0, EVER)
            clock.sleep(20)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    began, ended = caplog.messages
    assert began.startswith("redis://host cannot be used: it is away. Until it can, ")
    assert began.endswith(" keeps the rate limit; requests are evenly spaced at first.")
    assert ended == "redis://host keeps the rate limit again."


def test_429_during_an_outage_is_kept(fallback, primary, key: str) -> None:
    primary.is_away = True
    fallback.penalize(key, QUOTA, 30.0)

    assert _delay(fallback, key) >= 30


def test_waiter_goes_on_waiting_in_the_other_store(fallback, primary, clock) -> None:
    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        primary.is_away = True

    limiter = RateLimiter(fallback, tenant="tenant", identity="user", clock=clock, sleep=sleep)
    for _ in range(490):
        limiter.acquire(Tier.TWO)

    assert limiter.acquire(Tier.TWO) > 0
    assert primary.is_away


def test_leaving_a_store_that_is_away_is_no_error(fallback, primary, key: str) -> None:
    before = _delay(fallback, key)
    primary.is_away = True

    fallback.leave(key, QUOTA, 1)

    primary.is_away = False
    assert _delay(fallback, key) == before


def test_waiter_leaves_the_store_he_waits_in(fallback, primary, key: str, clock) -> None:
    primary.is_away = True
    fallback.ask(key, QUOTA, 0, EVER)
    before = _delay(fallback, key)
    fallback.leave(key, QUOTA, fallback.ask(key, QUOTA, 0, EVER).ticket)

    assert _delay(fallback, key) == before


def test_check_says_that_the_primary_cannot_be_used(fallback, primary, key: str, clock) -> None:
    check_store(fallback)
    primary.is_away = True
    fallback.ask(key, QUOTA, 0, EVER)
    with pytest.raises(StateUnavailableError, match="it is away"):
        check_store(fallback)
    visits = primary.visits
    fallback.ask(key, QUOTA, 0, EVER)
    assert primary.visits == visits

    primary.is_away = False
    check_store(fallback)


def test_check_takes_nothing_of_the_quota(fallback, key: str) -> None:
    check_store(fallback)

    assert _burst(fallback, key) == 5


def test_unusable_directory_never_fails_a_request(key: str) -> None:
    store = FallbackStore(FileStore(Path("/proc/nothing-here")), MemoryStore())

    assert store.ask(key, QUOTA, 0, EVER).granted


def test_redis_goes_away_and_comes_back(own_redis_server, tmp_path: Path, key: str, clock) -> None:
    store = FallbackStore(
        RedisStore(own_redis_server.url),
        FallbackStore(FileStore(tmp_path / "state"), MemoryStore()),
        clock=clock,
    )
    redis_key = f"airflow-provider-qlik-assets:{{{key}}}:header"
    state = tmp_path / "state" / f"{key}.quota"
    store.ask(key, QUOTA, 0, EVER)
    assert own_redis_server.client.exists(redis_key)
    assert not state.exists()

    own_redis_server.stop()
    store.ask(key, QUOTA, 0, EVER)
    assert state.exists()

    own_redis_server.start()
    clock.sleep(10)
    store.ask(key, QUOTA, 0, EVER)
    assert own_redis_server.client.exists(redis_key)
