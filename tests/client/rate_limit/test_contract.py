"""What every store must do, with a clock that the test sets."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_QUEUE, Quota

QUOTA = Quota(permits=5, window=60.0)
EVER = 1e9


@pytest.fixture
def ask(store, key):
    """Ask for a grant as somebody without a ticket, unless one is given."""
    return lambda ticket=0, max_wait=EVER, quota=QUOTA: store.ask(key, quota, ticket, max_wait)


@pytest.fixture
def use_up(ask, clock):
    """Take all permits, one second apart; the first comes back 60 s after the first was taken."""

    def use_up() -> None:
        for _ in range(QUOTA.permits):
            assert ask().granted
            clock.sleep(1)

    return use_up


def test_whole_quota_is_a_burst(ask) -> None:
    assert [ask().granted for _ in range(6)] == [True] * 5 + [False]


def test_permits_come_back_one_window_after_each_grant(ask, clock, use_up) -> None:
    start = clock.now
    use_up()
    granted: list[float] = []
    while len(granted) < QUOTA.permits:
        clock.sleep(ask(max_wait=-1).delay)
        assert ask().granted
        granted.append(clock.now - start)

    assert granted == [60, 61, 62, 63, 64]


def test_permit_comes_back_no_earlier_than_the_window(ask, clock) -> None:
    for _ in range(QUOTA.permits):
        ask()
    clock.sleep(59.999)

    assert not ask().granted


def test_waiters_are_told_when_their_turn_comes(ask, use_up) -> None:
    use_up()

    assert [ask().delay for _ in range(12)] == [
        *(55, 56, 57, 58, 59),
        *(115, 116, 117, 118, 119),
        *(175, 176),
    ]


def test_waiter_asks_again_often_enough_to_notice_changes(ask, use_up) -> None:
    use_up()

    assert ask().pause == 2.0


def test_waiter_sleeps_no_longer_than_needed(ask, clock, use_up) -> None:
    use_up()
    clock.sleep(54.5)

    assert ask().pause == 0.5


def test_newcomer_does_not_overtake_a_waiter(ask, clock, use_up) -> None:
    use_up()
    clock.sleep(54)
    waiter = ask()
    clock.sleep(1)

    assert not ask().granted
    assert ask(waiter.ticket).granted


def test_newcomer_takes_what_no_waiter_needs(ask, clock, use_up) -> None:
    use_up()
    clock.sleep(54)
    waiter = ask()
    clock.sleep(2)

    assert ask().granted
    assert ask(waiter.ticket).granted


def test_later_waiter_does_not_depend_on_the_earlier_one_to_wake(ask, clock, use_up) -> None:
    use_up()
    clock.sleep(54)
    earlier, later = ask(), ask()
    clock.sleep(2)

    assert ask(later.ticket).granted
    assert ask(earlier.ticket).granted


def test_whoever_leaves_makes_room(store, key, ask, use_up) -> None:
    use_up()
    first, second = ask(), ask()
    store.leave(key, QUOTA, first.ticket)

    assert (second.delay, ask(second.ticket).delay) == (56, 55)


def test_whoever_does_not_come_back_loses_his_claim(ask, clock, use_up) -> None:
    use_up()
    clock.sleep(54)
    ask()
    clock.sleep(1 + QUOTA.window / 60 + 0.001)

    assert ask().granted


def test_whoever_comes_back_late_is_first_again(ask, clock, use_up) -> None:
    use_up()
    late = ask()
    clock.sleep(30)
    punctual = ask()

    assert (punctual.delay, ask(late.ticket).delay, ask(punctual.ticket).delay) == (25, 25, 26)


def test_late_waiter_is_counted_when_he_sends(ask, clock, use_up) -> None:
    use_up()
    waiter = ask()
    clock.sleep(200)
    ask(waiter.ticket)
    for _ in range(QUOTA.permits - 1):
        ask()

    assert ask().delay == 60


def test_too_long_a_wait_is_refused_with_its_length(ask, use_up) -> None:
    use_up()
    answer = ask(max_wait=54)

    assert (answer.granted, answer.ticket, answer.delay) == (False, 0, 55)


def test_refused_waiter_leaves_the_queue(ask, use_up) -> None:
    use_up()
    waiter = ask()
    ask(waiter.ticket, max_wait=1)

    assert ask().delay == 55


def test_asking_for_the_delay_takes_nothing(ask) -> None:
    for _ in range(20):
        assert ask(max_wait=-1).delay == 0

    assert [ask().granted for _ in range(5)] == [True] * 5


def test_queue_is_bounded_and_the_rest_still_waits(ask, clock) -> None:
    quota = Quota(permits=1, window=1000.0)
    ask(quota=quota)
    for _ in range(MAX_QUEUE):
        ask(quota=quota)
    beyond = ask(quota=quota)

    assert beyond.ticket
    assert ask(quota=quota).delay == beyond.delay == 1000.0 * (MAX_QUEUE + 1)


def test_unused_grant_is_renewed_however_many_wait(store, key, ask, clock, use_up) -> None:
    use_up()
    ask()

    assert store.renew(key, QUOTA, 5.0)
    assert ask(max_wait=-1).delay == 57  # after the one that waits; both grants count


def test_a_grant_whose_permit_a_shorter_window_may_have_given_again_is_not_renewed(
    store, key, ask, clock
) -> None:
    ask()
    clock.sleep(1)
    ask()
    clock.sleep(29)
    assert store.renew(key, QUOTA, 30.0)
    ask(quota=Quota(permits=5, window=29.5))

    assert not store.renew(key, QUOTA, 30.0)
    assert store.renew(key, QUOTA, 29.0)


def test_a_grant_from_before_a_slow_start_is_not_renewed(store, key, ask, clock) -> None:
    ask()
    clock.sleep(1)
    store.start_slowly(key, QUOTA)

    assert not store.renew(key, QUOTA, 1.0)


def test_no_grant_is_renewed_while_a_429_stops_everybody(store, key, ask, clock) -> None:
    ask()
    store.penalize(key, QUOTA, 30.0)
    clock.sleep(29)

    assert not store.renew(key, QUOTA, 29.0)
    clock.sleep(1)
    assert store.renew(key, QUOTA, 30.0)


def test_keys_do_not_share_a_quota(store, key, ask, use_up) -> None:
    use_up()

    assert store.ask(f"{key}-other", QUOTA, 0, EVER).granted


def test_sharers_with_different_quotas_each_obey_their_own(ask, use_up) -> None:
    use_up()

    assert not ask().granted
    assert ask(quota=Quota(permits=7, window=60.0)).granted
    assert ask(max_wait=-1, quota=Quota(permits=3, window=60.0)).delay > ask(max_wait=-1).delay


def test_429_stops_everybody(store, key, ask, clock) -> None:
    ask()
    store.penalize(key, QUOTA, 30.0)
    clock.sleep(29.9)
    answer = ask()

    assert not answer.granted
    assert answer.penalized


def test_429_stops_those_who_wait_already(store, key, ask, clock, use_up) -> None:
    use_up()
    clock.sleep(54)
    waiter = ask()
    assert not waiter.penalized
    store.penalize(key, QUOTA, 30.0)
    clock.sleep(1)
    answer = ask(waiter.ticket)

    assert answer.delay >= 29
    assert answer.penalized


def test_shorter_retry_after_does_not_shorten_a_longer_one(store, key, ask) -> None:
    ask()
    store.penalize(key, QUOTA, 30.0)
    store.penalize(key, QUOTA, 1.0)

    assert ask(max_wait=-1).delay >= 30


def _spacing(ask, clock) -> float:
    """Return the seconds between the next two grants."""
    clock.sleep(ask(max_wait=-1).delay)
    assert ask().granted
    return ask(max_wait=-1).delay


def test_after_a_429_a_window_holds_what_it_held_before(store, key, ask, clock) -> None:
    quota = Quota(permits=100, window=60.0)
    for _ in range(60):
        ask(quota=quota)
    store.penalize(key, quota, 10.0)
    spacing = _spacing(lambda **options: ask(quota=quota, **options), clock)

    assert spacing == pytest.approx(60.0 / (60 * 0.98), rel=0.01)


def test_429_at_little_use_does_not_slow_to_a_crawl(store, key, ask, clock) -> None:
    quota = Quota(permits=100, window=60.0)
    ask(quota=quota)
    store.penalize(key, quota, 10.0)

    assert _spacing(lambda **options: ask(quota=quota, **options), clock) == pytest.approx(
        60.0 / 50, rel=0.01
    )


def test_429s_to_requests_already_on_their_way_count_as_one(store, key, ask, clock) -> None:
    for _ in range(QUOTA.permits):
        ask()
    for _ in range(4):
        store.penalize(key, QUOTA, 10.0)

    assert _spacing(ask, clock) == pytest.approx(60.0 / (5 * 0.98), rel=0.01)


def test_another_429_slows_further(store, key, ask, clock) -> None:
    spacings = []
    for _ in range(4):
        clock.sleep(ask(max_wait=-1).delay)
        ask()
        store.penalize(key, Quota(permits=5, window=60.0), 100.0)
        clock.sleep(ask(max_wait=-1).delay)
        ask()
        spacings.append(ask(max_wait=-1).delay)

    assert spacings == sorted(spacings)
    assert spacings[-1] <= 8 * 60.0 / 5


def test_speed_recovers_after_a_429(store, key, ask, clock) -> None:
    ask()
    store.penalize(key, QUOTA, 10.0)
    clock.sleep(10 + 6 * 60)

    assert [ask().granted for _ in range(6)] == [True] * 5 + [False]


def test_slow_start_spaces_grants_for_a_window(store, key, ask, clock) -> None:
    store.start_slowly(key, QUOTA)
    ask()

    assert _spacing(ask, clock) == 12.0
    clock.sleep(120)
    assert [ask().granted for _ in range(6)] == [True] * 5 + [False]


def test_slow_start_admits_the_first_at_once(store, key, ask, clock) -> None:
    store.start_slowly(key, QUOTA)

    assert ask().granted


def test_clock_that_goes_back_gives_no_permit_back(ask, clock, use_up) -> None:
    use_up()
    before = ask(max_wait=-1).delay
    clock.sleep(-100_000)

    assert ask(max_wait=-1).delay == before


def test_clock_that_went_back_goes_on_from_there(ask, clock, use_up) -> None:
    use_up()
    delay = ask(max_wait=-1).delay
    clock.sleep(-100_000)
    ask(max_wait=-1)
    clock.sleep(delay)

    assert ask().granted


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "new", "again", "again", "renew", "leave", "penalize", "slowly", "peek"]),
        st.integers(0, 4),
        st.sampled_from([0.0, 0.01, 0.5, 3.0, 12.0, 47.0, -20.0]),
        st.sampled_from([EVER, EVER, 10.0]),
    ),
    max_size=80,
)
# Whoever keeps to one of them keeps to the loosest.
_LOOSEST = Quota(permits=8, window=25.0)
_QUOTAS = (QUOTA, QUOTA, Quota(permits=3, window=60.0), _LOOSEST, Quota(permits=8, window=100.0))


def _play(store, key, clock, steps):
    """Run random steps by random clients; return all answers, and the grants that are used in the end.

    These are (time, quota, whether it was renewed), in the order of their use.
    """
    tickets: list[int] = []
    answers: list[Any] = []
    grants: list[tuple[float, Quota, bool]] = []
    for what, who, seconds, max_wait in steps:
        clock.sleep(seconds)
        quota = _QUOTAS[who]
        if what == "penalize":
            store.penalize(key, quota, 5.0)
        elif what == "slowly":
            store.start_slowly(key, quota)
        elif what == "renew":
            unused = [grant for grant in grants if clock.now - grant[0] < grant[1].window]
            if unused:
                old = unused[who % len(unused)]
                renewed = store.renew(key, old[1], max(0.0, clock.now - old[0]))
                answers.append(renewed)
                if renewed:  # one of the two is used
                    grants.remove(old)
                    grants.append((clock.now, old[1], True))
        elif what == "leave":
            if tickets:
                store.leave(key, quota, tickets.pop(who % len(tickets)))
        else:
            ticket = tickets.pop(who % len(tickets)) if what == "again" and tickets else 0
            answer = store.ask(key, quota, ticket, -1.0 if what == "peek" else max_wait)
            answers.append(answer)
            if answer.granted:
                grants.append((clock.now, quota, False))
            elif answer.ticket:
                tickets.append(answer.ticket)
    return answers, grants


_fresh_key = itertools.count().__next__


@example(
    steps=[
        *[("new", 4, 0.0, EVER)] * 8,
        ("new", 3, 47.0, EVER),
        *[("new", 3, 0.0, EVER)] * 7,
        *[("renew", 0, 0.0, EVER)] * 8,
    ]
)
@given(steps=_STEPS)
@settings(
    max_examples=settings().max_examples * 3 // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_no_interleaving_exceeds_the_quota(store, key, clock, steps) -> None:
    steps = [(what, who, abs(seconds), max_wait) for what, who, seconds, max_wait in steps]
    _, grants = _play(store, f"{key}-{_fresh_key()}", clock, steps)

    def used(number: int, quota: Quota) -> int:
        """Return how many requests were sent in the window that ends with one of them."""
        instants = [instant for instant, _, _ in grants[: number + 1]]
        return sum(instant > instants[-1] - quota.window for instant in instants)

    for number, (_, quota, renewed) in enumerate(grants):
        assert used(number, _LOOSEST) <= _LOOSEST.permits
        assert renewed or used(number, quota) <= quota.permits


@example(
    steps=[
        ("penalize", 0, 0.0, EVER),
        ("new", 0, 0.0, EVER),
        ("leave", 0, -20.0, EVER),
        ("new", 0, 0.01, EVER),
    ]
)
@given(steps=_STEPS)
@settings(
    max_examples=settings().max_examples * 3 // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_script_in_redis_gives_the_same_answers_as_the_ledger(memory_and_redis, key, clock, steps) -> None:
    key, start = f"{key}-{_fresh_key()}", clock.now
    answers = []
    for store in memory_and_redis:
        clock.now = start
        answers.append(_play(store, key, clock, steps)[0])

    assert answers[0] == answers[1]


def test_threads_do_not_lose_grants(store, key) -> None:
    quota = Quota(permits=200, window=3600.0)
    granted: list[bool] = []

    def work() -> None:
        granted.extend(store.ask(key, quota, 0, 0.0).granted for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert granted.count(True) == 200
