"""Wait for the freshness of data assets in the triggerer, without a worker slot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_qlik_assets.arguments import as_seconds
from airflow_provider_qlik_assets.catalog.waiting import (
    MISSING_ADVICE,
    Freshness,
    FreshnessCondition,
    freshness_to_json,
)
from airflow_provider_qlik_assets.client.errors import QlikApiError, QlikCloudError, QlikNotFoundError
from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.failures import PERMANENT_ERRORS
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook

_LONGEST_BACK_OFF_SECONDS = 600.0


class QlikDataFreshnessTrigger(BaseTrigger):
    """Poll data assets until they are fresh, then fire once.

    The payload is ``{"status": ..., "freshness": {id: instant}, "message": ...}``, the status one of
    ``success``, ``timeout`` and ``error``.
    The trigger sleeps before its first poll (whoever defers to it has just polled) and after every error.
    It only reads. Errors that no retry can heal end the wait; all others are tried again until the deadline.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :param data_asset_ids: ids of the data assets.
    :param fresh_since: RFC 3339 instant; a ``dataFreshness`` equal to it counts.
    :param match: whether ``all`` or ``any`` of them must be fresh.
    :param data_store_ids: ids of the data stores that hold them, where known.
    :param poll_interval: seconds between polls.
    :param deadline: RFC 3339 instant at which to give up; ``None`` waits for ever.
    :param missing_ok: whether to wait for a data asset that does not exist, too.
    :raises QlikValidationError: if an argument is wrong; that is before the task is deferred.
    """

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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.condition = FreshnessCondition.parse(data_asset_ids, fresh_since, match, missing_ok)
        self.qlik_conn_id = qlik_conn_id
        self.data_asset_ids = list(self.condition.data_asset_ids)
        self.fresh_since = fresh_since
        self.match = match
        self.data_store_ids = list(data_store_ids) if data_store_ids is not None else None
        self.poll_interval = as_seconds(poll_interval, "poll_interval")
        self.deadline = deadline
        self._deadline = parse_instant(deadline) if deadline is not None else None
        self.missing_ok = missing_ok

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
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        hook = QlikCloudHook(self.qlik_conn_id)
        freshness: Freshness = {}
        failures = 0
        problem = ""
        wait = self.poll_interval
        try:
            while True:
                await asyncio.sleep(self._seconds_to_sleep(wait))
                try:
                    client = await hook.aget_conn()
                    freshness = await sync_to_async(self.condition.read, thread_sensitive=False)(client)
                except PERMANENT_ERRORS as error:
                    yield self._event("error", freshness, str(error))
                    return
                except QlikNotFoundError as error:
                    yield self._event("error", freshness, f"{error} {MISSING_ADVICE}")
                    return
                except AirflowNotFoundException as error:
                    yield self._event("error", freshness, f"{error}. Define it for the triggerer, too.")
                    return
                except Exception as error:  # whatever it is may pass, and the deadline bounds it
                    failures += 1
                    wait = self._back_off(failures, error)
                    problem = f" The last poll failed: {error}"
                    known = isinstance(error, QlikCloudError)
                    self.log.warning("%s Polling again in about %.0f s.", error, wait, exc_info=not known)
                else:
                    failures = 0
                    problem = ""
                    wait = self.poll_interval * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
                    if self.condition.is_met(freshness):
                        yield self._event("success", freshness, "The data assets are fresh.")
                        return
                    self.log.info("Data assets are %s.", self.condition.describe_stale(freshness))
                if self._seconds_left() <= 0:
                    stale = self.condition.describe_stale(freshness) if freshness else "never read"
                    yield self._event("timeout", freshness, f"Timed out; data assets are {stale}.{problem}")
                    return
        finally:
            hook.close()

    def _seconds_left(self) -> float:
        if self._deadline is None:
            return float("inf")
        return (self._deadline - pendulum.now("UTC")).total_seconds()

    def _seconds_to_sleep(self, wait: float) -> float:
        return max(0.0, min(wait, self._seconds_left()))

    def _back_off(self, failures: int, error: Exception) -> float:
        longest = min(_LONGEST_BACK_OFF_SECONDS, self.poll_interval * 2.0 ** min(failures, 10))
        asked = (error.retry_after if isinstance(error, QlikApiError) else None) or 0.0
        return max(self.poll_interval, asked, random.uniform(0, longest))  # noqa: S311 - jitter

    @staticmethod
    def _event(status: str, freshness: Freshness, message: str) -> TriggerEvent:
        return TriggerEvent({"status": status, "freshness": freshness_to_json(freshness), "message": message})
