"""Wait for the rate limit in the triggerer, without a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pendulum
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.triggers.handing_back import until_the_scheduler_is_ready

# The wall clock may be changed in the meantime.
_LONGEST_NAP_SECONDS = 60.0


class QlikRateLimitTrigger(BaseTrigger):
    """Sleep until a moment at which requests are possible again, then fire once.

    The payload is ``{"status": "success", "moment": ...}``. It sends no request, so it cannot fail.

    :param moment: RFC 3339 instant.
    :raises QlikValidationError: if it is not an instant; raised before the task is deferred.
    """

    def __init__(self, *, moment: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self._moment = parse_instant(moment)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, JSON values without secrets."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"moment": self.moment}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event, in a triggerer no sooner than 10 seconds after the start."""
        started = asyncio.get_running_loop().time()
        while (left := (self._moment - pendulum.now("UTC")).total_seconds()) > 0:
            await asyncio.sleep(min(left, _LONGEST_NAP_SECONDS))
        await until_the_scheduler_is_ready(self, started)
        yield TriggerEvent({"status": "success", "moment": self.moment})
