"""Wait for the freshness of data assets in the triggerer, without a worker slot.

All triggers of a connection and interval share one poll (see :mod:`.shared_poll`). From Airflow 3.3 they join
the triggerer's shared stream; before that, and whenever ``run()`` is called, they still share the poll.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import pendulum
from airflow import __version__ as airflow_version
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_qlik_assets._compat import BaseEventTrigger
from airflow_provider_qlik_assets.arguments import as_seconds
from airflow_provider_qlik_assets.client.errors import QlikNotFoundError, QlikValidationError
from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.client.validation import check_ids
from airflow_provider_qlik_assets.triggers.handing_back import until_the_scheduler_is_ready
from airflow_provider_qlik_assets.triggers.seen_store import SeenStore
from airflow_provider_qlik_assets.triggers.shared_poll import (
    SHORTEST_INTERVAL_SECONDS,
    News,
    Subscription,
    subscribe,
)
from airflow_provider_qlik_assets.watching.condition import (
    MISSING_ADVICE,
    Freshness,
    FreshnessCondition,
    freshness_to_json,
    waiting_result,
)
from airflow_provider_qlik_assets.watching.edges import FreshnessEdges
from airflow_provider_qlik_assets.watching.feed import ALL_STORES, Interest, Snapshot

AIRFLOW_3 = not airflow_version.startswith("2.")
# By then the triggerer has written an event to Airflow's database.
_SECONDS_UNTIL_WRITTEN = 2.0


class _FeedTrigger(BaseEventTrigger):
    """A trigger that reads the feed of its connection and interval."""

    qlik_conn_id: str
    poll_interval: float

    def shared_stream_key(self) -> Hashable:
        """Return the key that triggers with a common poll share."""
        return (__name__, self.qlik_conn_id, self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[News, None]:
        """Yield something whenever the feed has news."""
        async with (
            subscribe(kwargs["qlik_conn_id"], kwargs["poll_interval"]) as subscription,
            aclosing(subscription.poll.changes()) as changes,
        ):
            async for news in changes:
                yield news

    @abstractmethod
    def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncGenerator[TriggerEvent, None]:
        """Yield the events of this trigger.

        :param shared_stream: yields something whenever the feed has news.
        """

    async def run(self) -> AsyncGenerator[TriggerEvent, None]:
        """Yield the events of this trigger where Airflow does not share streams."""
        async with (
            aclosing(self.open_shared_stream(self.serialize()[1])) as stream,
            aclosing(self.filter_shared_stream(stream)) as events,
        ):
            async for event in events:
                yield event


class QlikDataFreshnessTrigger(_FeedTrigger):
    """Wait until data assets are fresh, then fire once.

    The payload is ``{"status": ..., "freshness": {id: instant}, "message": ...}``, the status one of
    ``success``, ``timeout`` and ``error``. It waits for a poll that begins after its own start (the sensor
    has just polled before it defers), and looks once more at the deadline. It only reads. Permanent errors
    end the wait; all others are tried again until the deadline. In a triggerer it fires no sooner than 10
    seconds after its start, even if the deadline is earlier: an event that is faster than the scheduler would
    make the task fail.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :param data_asset_ids: ids of the data assets.
    :param fresh_since: RFC 3339 instant; a ``dataFreshness`` equal to it counts.
    :param match: whether ``all`` or ``any`` of them must be fresh.
    :param data_store_ids: ids of the data stores that hold them, where known; useful if the user of the
        connection may not list all data stores.
    :param poll_interval: seconds between polls, at least 1.
    :param deadline: RFC 3339 instant at which to give up; ``None`` waits indefinitely.
    :param missing_ok: whether to also wait for data assets that do not exist.
    :param ends_task: whether a worker would only return the result, so that the triggerer may end the task
        itself if nothing is lost.
    :param pushes_result: whether the result is pushed as an XCom. Airflow 3 would store it as text, so a
        worker must push it there.
    :raises QlikValidationError: if an argument is wrong; raised before the task is deferred.
    """

    supports_triggerer_queue = True

    def __init__(
        self,
        *,
        qlik_conn_id: str,
        data_asset_ids: Sequence[str],
        fresh_since: str,
        match: str = "all",
        data_store_ids: Sequence[str] | None = None,
        poll_interval: float = 60.0,
        deadline: str | None = None,
        missing_ok: bool = False,
        ends_task: bool = False,
        pushes_result: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.condition = FreshnessCondition.parse(data_asset_ids, fresh_since, match, missing_ok)
        self.qlik_conn_id = qlik_conn_id
        self.data_asset_ids = list(self.condition.data_asset_ids)
        self.fresh_since = fresh_since
        self.match = match
        self.data_store_ids = check_ids(data_store_ids) if data_store_ids is not None else None
        self.poll_interval = _checked_interval(poll_interval)
        self.deadline = deadline
        self._deadline = parse_instant(deadline) if deadline is not None else None
        self.missing_ok = missing_ok
        self.ends_task = ends_task
        self.pushes_result = pushes_result
        self._judged: object = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, JSON values without secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "qlik_conn_id": self.qlik_conn_id,
                "data_asset_ids": self.data_asset_ids,
                "fresh_since": self.fresh_since,
                "match": self.match,
                "data_store_ids": self.data_store_ids,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "missing_ok": self.missing_ok,
                "ends_task": self.ends_task,
                "pushes_result": self.pushes_result,
            },
        )

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Any]
    ) -> AsyncGenerator[TriggerEvent, None]:
        """Yield the one event."""
        started = asyncio.get_running_loop().time()
        interest = Interest(
            ids=frozenset(self.data_asset_ids), store_ids=frozenset(self.data_store_ids or ())
        )
        async with subscribe(self.qlik_conn_id, self.poll_interval, interest) as subscription:
            event = await self._event(subscription, shared_stream)
        await until_the_scheduler_is_ready(self, started)
        yield event

    async def _event(self, subscription: Subscription, shared_stream: AsyncIterator[Any]) -> TriggerEvent:
        try:
            async with asyncio.timeout(self._seconds_left()):
                async with aclosing(subscription.read(shared_stream)) as all_news:
                    async for news in all_news:
                        if event := self._judge(news):
                            return event
        except TimeoutError:
            news = await subscription.look_again()
            return self._judge(news) or self._time_out(news)
        raise RuntimeError("The triggerer ended the shared stream.")

    def _judge(self, news: News) -> TriggerEvent | None:
        """Return the event if the wait is over."""
        snapshot = news.snapshot or Snapshot({}, {})
        states = [snapshot.states.get(key) for key in self.data_asset_ids]
        errors = [snapshot.errors.get(key) for key in self.data_asset_ids]
        # Most news is about the data assets of other triggers. Problems only differ in their trace ids.
        view = (bool(news.problem), bool(news.wait), news.is_hopeless, bool(news.snapshot), states, errors)
        if view == self._judged:
            return None
        self._judged = view
        freshness = self._freshness(news)
        if news.is_hopeless:
            return _event("error", freshness, news.problem)
        for error in errors:
            if isinstance(error, QlikNotFoundError) and not self.missing_ok:
                return _event("error", freshness, error.with_advice(MISSING_ADVICE))
            if error is not None and not isinstance(error, QlikNotFoundError):
                return _event("error", freshness, str(error))
        described = self._describe(news, freshness)
        if news.snapshot and self.condition.is_met(freshness):
            self.log.info("%s", described)
            if self._may_end_the_task():
                result = waiting_result(freshness, self.condition) if self.pushes_result else None
                return TaskSuccessEvent(xcoms={"return_value": result} if result else None)
            return _event("success", freshness, described)
        self.log.info("%s", news.problem or news.wait or described)
        return None

    def _may_end_the_task(self) -> bool:
        # Only a triggerer sets the id. Dag.test() has no triggerer, and cannot end a task itself.
        return self.ends_task and self.trigger_id is not None and not (self.pushes_result and AIRFLOW_3)

    def _time_out(self, news: News) -> TriggerEvent:
        freshness = self._freshness(news)
        problem = f" The last poll failed: {news.problem}" if news.problem else ""
        problem += f" The next poll would have to wait: {news.wait}" if news.wait else ""
        return _event("timeout", freshness, f"Timed out. {self._describe(news, freshness)}{problem}")

    def _describe(self, news: News, freshness: Freshness) -> str:
        """Return the state of the wait as a sentence."""
        if news.snapshot is None:
            return "The data assets could not be read."
        states = [news.snapshot.states.get(key) for key in self.data_asset_ids]
        names = {state.id: state.technical_name for state in states if state and state.technical_name}
        return f"Data assets are {self.condition.describe(freshness, names)}."

    def _freshness(self, news: News) -> Freshness:
        if news.snapshot is None:
            return {}
        states = news.snapshot.states
        return {key: states[key].freshness if key in states else None for key in self.data_asset_ids}

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return (self._deadline - pendulum.now("UTC")).total_seconds()


class QlikDataFreshnessEventTrigger(_FeedTrigger):
    """Fire for every change of ``dataFreshness``, for an ``AssetWatcher`` (Airflow 3).

    The payload is ``{"id", "data_freshness", "previous", "version", "technical_name"}``. It reports changes,
    not states: the first poll only records what there is. Between two polls, several changes of a data asset
    count as one. A new data asset is a change once it has a ``dataFreshness``; a deletion is not a change.

    From Airflow 3.3, the state seen last is kept in the state store of the asset. Each watcher of an asset
    has its own entries, whose names contain a hash of the connection and of what is watched (see
    :mod:`.seen_store`). A change that is made while no triggerer runs fires afterwards. While the store
    cannot be read, changes fire as without one, and each of them reads it again. A watcher starts over if its
    connection, ``data_asset_ids``, or else ``data_store_ids`` change. Each change fires at least once: one
    that was fired in the last seconds before a triggerer died may fire again. Before Airflow 3.3, changes
    between the last poll before and the first poll after a restart do not fire.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :param data_asset_ids: ids of the data assets; ``None`` watches all of the data stores.
    :param data_store_ids: ids of data stores; ``None`` watches all of the tenant. With ``data_asset_ids``,
        the data stores that hold these, where known.
    :param poll_interval: seconds between polls, at least 1.
    :param asset_name: name of the Airflow asset that is watched. A trigger only learns it from Airflow 3.3,
        and only in the triggerer, which warns if it differs. Airflow treats the triggers of two assets as one
        if they have the same arguments.
    :raises QlikValidationError: if an argument is wrong or ``asset_name`` is missing.
    """

    def __init__(
        self,
        *,
        qlik_conn_id: str,
        data_asset_ids: Sequence[str] | None = None,
        data_store_ids: Sequence[str] | None = None,
        poll_interval: float = 60.0,
        asset_name: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.qlik_conn_id = qlik_conn_id
        self.data_asset_ids = _some_ids(data_asset_ids, "data_asset_ids")
        self.data_store_ids = _some_ids(data_store_ids, "data_store_ids")
        self.poll_interval = _checked_interval(poll_interval)
        if not isinstance(asset_name, str) or not asset_name.strip():
            raise QlikValidationError(
                "asset_name is missing: give the name of the Airflow asset whose watcher this is. Without "
                "it, Airflow treats triggers of two assets with equal arguments as one."
            )
        self.asset_name = asset_name

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, JSON values without secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "qlik_conn_id": self.qlik_conn_id,
                "data_asset_ids": self.data_asset_ids,
                "data_store_ids": self.data_store_ids,
                "poll_interval": self.poll_interval,
                "asset_name": self.asset_name,
            },
        )

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Any]
    ) -> AsyncGenerator[TriggerEvent, None]:
        """Yield an event per change."""
        stores = frozenset(self.data_store_ids or ())
        if self.data_asset_ids is not None:
            edges = FreshnessEdges(ids=self.data_asset_ids)
            interest = Interest(ids=frozenset(self.data_asset_ids), store_ids=stores)
        else:
            edges = FreshnessEdges(stores=stores or {ALL_STORES})
            interest = Interest(stores=frozenset(edges.stores))
        seen_store = SeenStore(self._state_store(), self.qlik_conn_id, edges, self.log)
        await seen_store.recall()
        problem = ""
        async with (
            subscribe(self.qlik_conn_id, self.poll_interval, interest) as subscription,
            aclosing(subscription.read(shared_stream)) as all_news,
        ):
            async for news in all_news:
                told = problem
                problem = news.problem or (edges.problems(news.snapshot) if news.snapshot else "")
                if problem and not told:
                    self.log.warning("Trying again: %s", problem)
                if news.snapshot is None:
                    continue
                await seen_store.recall()
                changes = edges.find(news.snapshot)
                for change in changes:
                    yield TriggerEvent(change.to_json())
                if changes:
                    await asyncio.sleep(_SECONDS_UNTIL_WRITTEN)
                await seen_store.keep()

    def _state_store(self) -> Any:
        """Return Airflow's state store of the watched asset; ``None`` before Airflow 3.3."""
        stores = getattr(self, "asset_state_store", None)
        if stores is None:
            return None
        # Every version with state stores has this, too.
        from airflow.sdk.definitions.asset import AssetNameRef  # noqa: PLC0415, TID251

        try:
            return stores[AssetNameRef(name=self.asset_name)]
        except KeyError:
            self.log.warning(
                "asset_name is %r, but the trigger watches for %r. Correct it: two assets with equal "
                "triggers share one, and may then lose changes over a restart of the triggerer.",
                self.asset_name, stores,
            )  # fmt: skip
            return stores


def _event(status: str, freshness: Freshness, message: str) -> TriggerEvent:
    return TriggerEvent({"status": status, "freshness": freshness_to_json(freshness), "message": message})


def _checked_interval(poll_interval: float) -> float:
    return max(SHORTEST_INTERVAL_SECONDS, as_seconds(poll_interval, "poll_interval"))


def _some_ids(ids: str | Iterable[str] | None, name: str) -> list[str] | None:
    if ids is None:
        return None
    checked = check_ids(ids)
    if not checked:
        raise QlikValidationError(f"{name} is empty: name at least one, or leave it out.")
    return checked
