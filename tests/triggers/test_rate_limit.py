from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.client.instants import format_instant
from airflow_provider_qlik_assets.triggers.rate_limit import QlikRateLimitTrigger


def in_seconds(seconds: float) -> str:
    return format_instant(datetime.now(UTC) + timedelta(seconds=seconds))


async def events(trigger: QlikRateLimitTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


async def test_fires_once_at_its_moment() -> None:
    moment = in_seconds(0.3)
    began = time.monotonic()

    payloads = await asyncio.wait_for(events(QlikRateLimitTrigger(moment=moment)), 10)

    assert payloads == [{"status": "success", "moment": moment}]
    assert time.monotonic() - began > 0.25


async def test_a_moment_that_has_passed_fires_at_once() -> None:
    assert len(await asyncio.wait_for(events(QlikRateLimitTrigger(moment=in_seconds(-60))), 10)) == 1


async def test_sleeps_until_then() -> None:
    task = asyncio.create_task(events(QlikRateLimitTrigger(moment=in_seconds(3600))))
    done, _ = await asyncio.wait([task], timeout=0.2)

    assert not done
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_goes_through_json_and_airflows_encryption() -> None:
    trigger = QlikRateLimitTrigger(moment="2026-01-31T06:30:00.000Z")
    class_path, arguments = trigger.serialize()

    module, _, name = class_path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert rebuilt.serialize() == trigger.serialize()
    assert Trigger.from_object(trigger).kwargs == arguments


@pytest.mark.parametrize("moment", ["soon", "2026-01-31", None])
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(QlikValidationError):
        QlikRateLimitTrigger(moment=moment)
