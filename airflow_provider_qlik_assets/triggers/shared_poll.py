"""One poll of Qlik Cloud for all triggers of a process that use the same connection at the same interval.

The feed lives in the event loop of the triggerer. A worker thread makes its requests, so the loop is never
blocked. It starts with its first subscriber and ends with its last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_provider_qlik_assets.client.errors import QlikApiError, QlikCloudError, QlikRateLimitError
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.failures import describe, is_permanent
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.watching.feed import ChangeFeed, Interest, Snapshot

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import QlikCloudClient

logger = get_logger(__name__)

SHORTEST_INTERVAL_SECONDS = 1.0
_LONGEST_BACK_OFF_SECONDS = 600.0
_LONGEST_LAST_LOOK_SECONDS = 2.0
_LONGEST_FIRST_LOOK_SECONDS = 10.0
_LONGEST_SHORT_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class News:
    """What a poll tells its subscribers.

    :param snapshot: everything known; ``None`` if no poll has succeeded since the subscription.
    :param problem: why the last poll failed; empty if it did not.
    :param is_hopeless: whether no poll can succeed until a cause is fixed.
    :param wait: why the next poll has to wait for the rate limit; empty if it does not.
    """

    snapshot: Snapshot | None = None
    problem: str = ""
    is_hopeless: bool = False
    wait: str = ""


class SharedPoll:
    """Poll Qlik Cloud as long as there are subscribers.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :param poll_interval: seconds between polls.
    """

    def __init__(self, qlik_conn_id: str, poll_interval: float) -> None:
        self._conn_id = qlik_conn_id
        self._interval = max(SHORTEST_INTERVAL_SECONDS, poll_interval)
        self.news = News()
        self._subscriptions: set[Subscription] = set()
        self._begun = self._ended = self._succeeded = 0  # numbers of polls, from 1
        self._client: QlikCloudClient | None = None
        self._changed, self._polled, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        # It outlives the first trigger, so it does not use the log of that trigger.
        self._task = asyncio.create_task(self._poll_for_ever(), context=contextvars.Context())

    async def changes(self) -> AsyncGenerator[News, None]:
        """Yield the news now and whenever it changes."""
        told = None
        while True:
            changed = self._changed
            if self.news is not told:
                told = self.news
                yield told
            else:
                await changed.wait()

    async def _until_polled(self, number: int) -> None:
        while self._ended < number:
            await self._polled.wait()

    async def _poll_for_ever(self) -> None:
        hook, changes = QlikCloudHook(self._conn_id), ChangeFeed()
        failures, wait, may_hurry = 0, self._interval, True
        loop = asyncio.get_running_loop()
        # A separate thread, in which requests may be spaced without delaying other work. In a triggerer, only
        # asgiref's threads reach the supervisor in every version of Airflow.
        with _one_thread() as thread:
            poll = sync_to_async(changes.poll, thread_sensitive=False, executor=thread)
            try:
                while True:
                    await self._pause(wait, may_hurry=may_hurry)
                    self._hurry.clear()
                    self._begun += 1
                    try:
                        began = loop.time()
                        snapshot = await self._read(hook, poll)
                    except QlikRateLimitError as error:
                        failures += bool(error.url)  # without a URL, nothing was sent
                        wait = self._wait_for_quota(failures, error)
                    except Exception as error:  # noqa: BLE001 - it must not end the waits of others
                        failures += 1
                        wait = self._back_off(failures, error)
                        self._tell(self._failure(error, wait))
                        if self.news.is_hopeless:
                            hook.close()  # so that the connection is looked up again: it may be fixed by then
                    else:
                        failures = 0
                        wait = self._interval * random.uniform(0.9, 1.0) - (loop.time() - began)  # noqa: S311
                        self._succeeded = self._begun
                        self._tell(News(snapshot))
                    may_hurry = self._succeeded == self._begun
                    self._ended = self._begun
                    self._polled.set()
                    self._polled = asyncio.Event()
            finally:
                hook.close()

    async def _read(self, hook: QlikCloudHook, poll: Callable[..., Awaitable[Snapshot]]) -> Snapshot:
        """Poll once; after a permanent error, poll once more with the current connection."""
        known, self._client = self._client, await hook.aget_conn()
        try:
            return await poll(self._client, self._interest())
        except Exception as error:
            if self._client is not known or not is_permanent(error):
                raise
        hook.close()
        self._client = await hook.aget_conn()
        return await poll(self._client, self._interest())

    async def _pause(self, seconds: float, *, may_hurry: bool) -> None:
        shortest = min(SHORTEST_INTERVAL_SECONDS, self._interval)
        seconds = max(shortest, seconds)
        await asyncio.sleep(shortest if may_hurry else seconds)
        if may_hurry:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), seconds - shortest)

    def _tell(self, news: News) -> None:
        old = self.news
        if (
            news.snapshot is not None
            and old.snapshot is not None
            and news.snapshot.states is old.snapshot.states
            and news.snapshot.errors is old.snapshot.errors
            and news.snapshot.stores == old.snapshot.stores
        ):
            news = replace(news, snapshot=old.snapshot)
        if news != old:
            self.news = news
            self._changed.set()
            self._changed = asyncio.Event()

    def _wait_for_quota(self, refusals: int, error: QlikRateLimitError) -> float:
        """Return the seconds until a poll may be sent that could not be sent now, or was rejected.

        :param refusals: how many polls in a row Qlik Cloud has rejected.
        """
        asked = self._interval if error.retry_after is None else error.retry_after
        wait = min(asked, _LONGEST_BACK_OFF_SECONDS)
        if error.url and refusals > 1:
            wait = self._back_off(refusals - 1, error)
        if not self.news.wait:
            level = logging.INFO if wait <= _LONGEST_SHORT_WAIT_SECONDS else logging.WARNING
            logger.log(level, "Polling again in about %.0f s: %s", wait, error)
        self._tell(News(self.news.snapshot, wait=str(error)))
        return wait

    def _failure(self, error: Exception, wait: float) -> News:
        hopeless, problem = is_permanent(error), describe(error)
        known = hopeless or isinstance(error, QlikCloudError)
        logger.warning("Polling again in about %.0f s: %s", wait, problem, exc_info=not known)
        return News(self.news.snapshot, problem, hopeless)

    def _back_off(self, failures: int, error: Exception) -> float:
        longest = min(_LONGEST_BACK_OFF_SECONDS, self._interval * 2.0 ** min(failures, 10))
        asked = (error.retry_after if isinstance(error, QlikApiError) else None) or 0.0
        asked = min(asked, _LONGEST_BACK_OFF_SECONDS)
        return max(self._interval, asked, random.uniform(0, longest))  # noqa: S311 - jitter

    def _interest(self) -> Interest:
        interests = [subscription.interest for subscription in self._subscriptions]
        return Interest(
            ids=frozenset().union(*(interest.ids for interest in interests)),
            store_ids=frozenset().union(*(interest.store_ids for interest in interests)),
            stores=frozenset().union(*(interest.stores for interest in interests)),
        )


class Subscription:
    """One reader's part of a poll.

    :param poll: the poll.
    :param interest: what the reader wants to know.
    """

    def __init__(self, poll: SharedPoll, interest: Interest) -> None:
        self.poll = poll
        self.interest = interest
        self._first_poll = poll._begun + 1

    @property
    def news(self) -> News:
        """What is known from polls that began after the subscription."""
        news = self.poll.news
        return news if self.poll._succeeded >= self._first_poll else replace(news, snapshot=None)

    async def read(self, wake_ups: AsyncIterator[Any]) -> AsyncGenerator[News, None]:
        """Yield the news after the first poll, and whenever it may have changed.

        :param wake_ups: yields something whenever the poll has news.
        """
        await self.poll._until_polled(self._first_poll)
        yield self.news
        async for _ in wake_ups:
            yield self.news

    async def look_again(self) -> News:
        """Return the news of one more poll, made as soon as possible, unless none can succeed now.

        Time-outs are accurate to the second, so this only takes long if nothing was ever read.
        """
        if not self.poll.news.problem and not self.poll.news.wait:
            self.poll._hurry.set()
            longest = _LONGEST_LAST_LOOK_SECONDS if self.news.snapshot else _LONGEST_FIRST_LOOK_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.poll._until_polled(self.poll._begun + 1), longest)
        return self.news


_polls: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, float], SharedPoll]] = (
    WeakKeyDictionary()
)


@contextlib.asynccontextmanager
async def subscribe(
    qlik_conn_id: str, poll_interval: float, interest: Interest | None = None
) -> AsyncIterator[Subscription]:
    """Subscribe to the poll of a connection and interval, which runs only while it has subscribers."""
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    key = (qlik_conn_id, poll_interval)
    poll = polls.get(key)
    if poll is None:
        poll = polls[key] = SharedPoll(qlik_conn_id, poll_interval)
    subscription = Subscription(poll, interest or Interest())
    poll._subscriptions.add(subscription)
    try:
        yield subscription
    finally:
        poll._subscriptions.discard(subscription)
        if not poll._subscriptions and polls.get(key) is poll:
            del polls[key]
            poll._task.cancel()


@contextlib.contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    """Provide a thread; work still running in it at the end is not awaited."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qlik-poll")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
