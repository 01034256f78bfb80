"""The limiter: how it waits, what it says, and what happens when it is interrupted."""

from __future__ import annotations

import contextlib
import logging
import pickle
from typing import Any

import pytest

from airflow_provider_qlik_assets.client.errors import QlikConfigurationError, QlikRateLimitError
from airflow_provider_qlik_assets.client.rate_limit.ledger import Quota
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimiter, RateLimits, Tier
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore

LIMITS = RateLimits(tier1_limit=10, tier2_limit=3, window=100.0)  # 9 and 2 permits in 101 s


class World:
    """A clock, and limiters that share a store on it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.on_sleep = lambda: None
        self.store = MemoryStore(clock=self.clock)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.on_sleep()

    def limiter(
        self, *, tenant: str = "tenant.eu.qlikcloud.com", identity: str = "user", **options: Any
    ) -> RateLimiter:
        options = {"limits": LIMITS, "clock": self.clock, "sleep": self.sleep, **options}
        return RateLimiter(self.store, tenant=tenant, identity=identity, **options)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def used_up(world: World) -> RateLimiter:
    """A limiter whose tier 2 quota is used up."""
    limiter = world.limiter()
    for _ in range(2):
        limiter.acquire(Tier.TWO)
    return limiter


@pytest.mark.parametrize(
    ("limits", "tier", "quota"),
    [
        (RateLimits(), Tier.ONE, Quota(4900, 303.0)),
        (RateLimits(), Tier.TWO, Quota(490, 303.0)),
        (RateLimits(tier2_limit=1, window=1.0), Tier.TWO, Quota(1, 1.01)),
        (RateLimits(tier2_limit=50, window=10), Tier.TWO, Quota(49, 10.1)),
    ],
)
def test_a_little_less_than_the_limit_is_used(limits: RateLimits, tier: Tier, quota: Quota) -> None:
    assert limits.quota(tier) == quota


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("tier1_limit", {"tier1_limit": 0}),
        ("tier1_limit", {"tier1_limit": 10_001}),
        ("tier2_limit", {"tier2_limit": 0.5}),
        ("tier2_limit", {"tier2_limit": True}),
        ("tier2_limit", {"tier2_limit": "500"}),
        ("rate_limit_window", {"window": 0}),
        ("rate_limit_window", {"window": -1.0}),
        ("rate_limit_window", {"window": float("inf")}),
        ("rate_limit_window", {"window": float("nan")}),
        ("rate_limit_window", {"window": True}),
    ],
)
def test_impossible_limits_are_refused_by_name(name: str, limits: dict) -> None:
    with pytest.raises(QlikConfigurationError, match=f"^{name} must be "):
        RateLimits(**limits)


def test_within_the_quota_nobody_waits(world: World) -> None:
    limiter = world.limiter()

    assert [limiter.acquire(Tier.TWO) for _ in range(2)] == [0.0, 0.0]
    assert world.slept == []


def test_beyond_the_quota_it_waits_for_the_window(world: World, used_up: RateLimiter) -> None:
    assert used_up.acquire(Tier.TWO) == pytest.approx(101.0)
    assert sum(world.slept) == pytest.approx(101.0)


def test_tiers_do_not_share_a_quota(used_up: RateLimiter) -> None:
    assert used_up.acquire(Tier.ONE) == 0.0


@pytest.mark.parametrize(
    ("other", "is_shared"),
    [
        ({}, True),
        ({"tenant": "TENANT.eu.qlikcloud.com"}, True),
        ({"tenant": "other.eu.qlikcloud.com"}, False),
        ({"identity": "somebody else"}, False),
    ],
)
def test_quota_is_shared_by_tenant_and_user(
    world: World, used_up: RateLimiter, other: dict, is_shared: bool
) -> None:
    assert (world.limiter(**other).wait_for(Tier.TWO) > 0) is is_shared


def test_expected_wait_reserves_nothing(world: World) -> None:
    limiter = world.limiter()

    assert [limiter.wait_for(Tier.TWO) for _ in range(10)] == [0.0] * 10
    assert limiter.acquire(Tier.TWO) == 0.0


def test_expected_wait_is_the_actual_one(used_up: RateLimiter) -> None:
    assert used_up.wait_for(Tier.TWO) == pytest.approx(used_up.acquire(Tier.TWO))


@pytest.mark.parametrize(("requests", "windows"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_expected_wait_of_many_is_that_of_the_last(
    world: World, used_up: RateLimiter, requests: int, windows: int
) -> None:
    assert used_up.wait_for(Tier.TWO, requests) == pytest.approx(used_up.wait_for(Tier.TWO) + windows * 101.0)


@pytest.mark.parametrize("where", ["limiter", "call"])
def test_too_long_a_wait_is_an_error_at_once(world: World, used_up: RateLimiter, where: str) -> None:
    limiter = world.limiter(max_wait=60.0 if where == "limiter" else 1e9)

    with pytest.raises(QlikRateLimitError) as caught:
        limiter.acquire(Tier.TWO, max_wait=60.0 if where == "call" else None)

    assert caught.value.retry_after == pytest.approx(101.0)
    assert world.slept == []


def test_error_of_a_request_that_was_held_back_says_so(used_up: RateLimiter) -> None:
    with pytest.raises(QlikRateLimitError) as caught:
        used_up.acquire(Tier.TWO, max_wait=60.0)

    assert str(caught.value) == (
        "The request was not sent: the tier 2 quota of tenant.eu.qlikcloud.com is used up, and the wait "
        "of about 101.0 s is not allowed. "
        "Try again after that time, or allow a longer wait with max_rate_limit_wait."
    )
    assert caught.value.http_status == 429
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_wait_as_long_as_allowed_succeeds(used_up: RateLimiter) -> None:
    assert used_up.acquire(Tier.TWO, max_wait=101.001) == pytest.approx(101.0)


def test_wait_that_grows_too_long_is_given_up(world: World, used_up: RateLimiter) -> None:
    world.on_sleep = lambda: used_up.penalize(Tier.TWO, 500.0)

    with pytest.raises(QlikRateLimitError, match="answered 429 to tier 2 requests"):
        used_up.acquire(Tier.TWO, max_wait=200.0)

    assert len(world.slept) == 1


def test_time_already_waited_counts(world: World, used_up: RateLimiter) -> None:
    def delay() -> None:
        world.now += 60.0
        used_up.penalize(Tier.TWO, 120.0)

    world.on_sleep = delay

    with pytest.raises(QlikRateLimitError):
        used_up.acquire(Tier.TWO, max_wait=150.0)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, TimeoutError])
def test_interrupted_waiter_leaves_the_queue(
    world: World, used_up: RateLimiter, interruption: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise interruption

    before = used_up.wait_for(Tier.TWO)
    for _ in range(4):
        world.on_sleep = interrupt
        with pytest.raises(interruption):
            used_up.acquire(Tier.TWO)
        world.now -= world.slept[-1]

    assert used_up.wait_for(Tier.TWO) == before


def test_429_holds_all_sharers_back(world: World) -> None:
    world.limiter().penalize(Tier.TWO, 30.0)

    assert 30.0 < world.limiter().wait_for(Tier.TWO) < 35.0
    assert world.limiter().wait_for(Tier.ONE) == 0.0


def test_no_429_holds_anybody_back_for_longer_than_two_windows(world: World) -> None:
    limiter = world.limiter()
    limiter.penalize(Tier.TWO, 86_400.0)

    assert limiter.wait_for(Tier.TWO) < 2 * 101.0 + 1.0


def test_429_slows_the_time_after_it(world: World) -> None:
    limiter = world.limiter()
    for _ in range(9):
        limiter.acquire(Tier.ONE)
    limiter.penalize(Tier.ONE, 200.0)
    limiter.acquire(Tier.ONE)

    assert limiter.wait_for(Tier.ONE) > 101.0 / 9


def test_each_wait_is_logged_once_with_its_reason(
    world: World, used_up: RateLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        used_up.acquire(Tier.TWO)
        used_up.penalize(Tier.ONE, 20.0)
        used_up.acquire(Tier.ONE)

    assert len(caplog.messages) == 2
    assert caplog.messages[0] == (
        "Waiting about 101.0 s: the tier 2 quota of tenant.eu.qlikcloud.com is used up."
    )
    assert caplog.messages[1].endswith(
        " s: Qlik Cloud answered 429 to tier 1 requests to tenant.eu.qlikcloud.com."
    )


def test_short_waits_are_no_news(
    world: World, used_up: RateLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    world.now += 100.5
    with caplog.at_level(logging.INFO):
        assert used_up.acquire(Tier.TWO) > 0

    assert caplog.messages == []


# --- what is prepared once a request may be sent ----------------------------------------------------------


def preparing(world: World, *seconds: float) -> Any:
    """Return what takes so long each time, and returns how often it was called."""
    left = list(seconds)

    def prepare() -> int:
        world.now += left.pop(0)
        return len(seconds) - len(left)

    return prepare


def test_a_request_is_prepared_after_the_wait(world: World, used_up: RateLimiter) -> None:
    moments: list[float] = []

    assert used_up.acquire_for(Tier.TWO, lambda: moments.append(world.now) or "prepared") == "prepared"

    assert moments == [1000.0 + 101.0]


def test_a_grant_lasts_as_long_as_the_window_is_stretched(world: World) -> None:
    limiter = world.limiter()

    assert limiter.acquire_for(Tier.TWO, preparing(world, 1.0)) == 1
    assert limiter.acquire_for(Tier.TWO, preparing(world, 1.0)) == 1
    assert world.slept == []


def test_if_preparing_takes_longer_the_grant_is_renewed(world: World) -> None:
    limiter = world.limiter(limits=RateLimits(tier2_limit=1, window=100.0))

    assert limiter.acquire_for(Tier.TWO, preparing(world, 99.0)) == 1

    assert world.slept == []
    assert limiter.wait_for(Tier.TWO) == pytest.approx(101.0)


def test_a_sharer_with_a_shorter_window_does_not_lead_to_more_than_the_limit(world: World) -> None:
    """Both keep to 500 in any 300 s; one of them holds many grants for longer, while it prepares."""
    longer, shorter = (world.limiter(limits=RateLimits(window=window), max_wait=0) for window in (600, 300))
    sent: list[float] = []

    def prepare(others: int) -> bool:
        if others:
            with contextlib.suppress(QlikRateLimitError):
                sent.append(longer.acquire_for(Tier.TWO, lambda: prepare(others - 1)) and world.now)
            return True
        world.now += 350
        with contextlib.suppress(QlikRateLimitError):
            while True:
                shorter.acquire(Tier.TWO)
                sent.append(world.now)
        world.now += 100
        return True

    with contextlib.suppress(QlikRateLimitError):
        longer.acquire_for(Tier.TWO, lambda: prepare(20))
        sent.append(world.now)

    assert len(sent) >= 490
    assert max(sum(end - 300 < instant <= end for instant in sent) for end in sent) <= 500


def test_after_a_429_in_the_meantime_it_is_prepared_again_after_the_wait(world: World) -> None:
    limiter = world.limiter()
    seconds = iter([1.1, 0.5])

    def prepare() -> str:
        world.now += (took := next(seconds))
        if took > 1:
            limiter.penalize(Tier.TWO, 7.0)
        return f"after {took} s"

    assert limiter.acquire_for(Tier.TWO, prepare) == "after 0.5 s"

    assert sum(world.slept) >= 7.0


def test_nothing_to_send_takes_no_other_grant(world: World) -> None:
    limiter = world.limiter()

    def prepare() -> None:
        world.now += 5

    assert limiter.acquire_for(Tier.TWO, prepare) is None

    limiter.acquire(Tier.TWO, max_wait=0)


def test_if_preparing_takes_longer_than_a_window_another_grant_is_taken_at_once(world: World) -> None:
    limiter = world.limiter(limits=RateLimits(tier2_limit=1, window=100.0))

    assert limiter.acquire_for(Tier.TWO, preparing(world, 102.0)) == 1

    assert world.slept == []
    assert limiter.wait_for(Tier.TWO) == pytest.approx(101.0)


def test_what_gets_no_grant_again_and_again_is_given_up(world: World) -> None:
    limiter = world.limiter(limits=RateLimits(tier2_limit=1, window=100.0))

    def prepare() -> bool:
        world.now += 102.0
        limiter.penalize(Tier.TWO, 7.0)
        return True

    with pytest.raises(
        QlikRateLimitError, match="each grant expired while the request was prepared"
    ) as raised:
        limiter.acquire_for(Tier.TWO, prepare)

    assert (raised.value.retry_after or 0) >= 7


def test_the_waits_together_are_bounded(world: World) -> None:
    limiter = world.limiter(limits=RateLimits(tier2_limit=1, window=100.0), max_wait=150)

    limiter.acquire(Tier.TWO)
    prepared: list[float] = []

    def prepare() -> bool:
        world.now += 1.1
        limiter.penalize(Tier.TWO, 100.0)
        prepared.append(world.now)
        return True

    with pytest.raises(QlikRateLimitError, match="not allowed"):
        limiter.acquire_for(Tier.TWO, prepare)

    assert len(prepared) == 1
    assert 100 < sum(world.slept) < 150


def test_an_error_while_preparing_is_raised(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        world.limiter().acquire_for(Tier.TWO, lambda: 1 / 0)
