"""A poll that must not be sent yet is sent when it may; that is neither an error nor a warning."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]
Run = Callable[..., Any]

FRESH = "2026-02-01T00:00:00.000Z"
PACKAGE = "airflow_provider_qlik_assets"
IDS = [f"asset-{number}" for number in range(6)]


@pytest.fixture
def polls_of_many_requests(qlik_sandbox: Sandbox, set_connection: Callable[..., str]) -> None:
    """Let each poll take a request per data asset, of which after a 429 some two a second are sent."""
    for key in IDS:
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness="2026-01-01T00:00:00Z")
    qlik_sandbox.add_fault(Fault(kind="status", status=403, path="/api/v1/data-stores/*", times=None))
    set_connection(
        host=qlik_sandbox.url,
        password=qlik_sandbox.api_key,
        extra={"tier1_limit": 1200, "rate_limit_window": 300},
    )


def refuse_once(sandbox: Sandbox, retry_after: int) -> None:
    sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": str(retry_after)}))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [record for record in caplog.records if record.name.startswith(PACKAGE)]
    return [record.getMessage() for record in ours if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("polls_of_many_requests")
async def test_polls_of_many_requests_get_through_after_a_429(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_once(qlik_sandbox, 1)
    caplog.set_level(logging.INFO, logger=PACKAGE)
    events = [asyncio.create_task(anext(make_trigger(data_asset_ids=[key]).run())) for key in IDS]

    async def reads() -> int:
        await asyncio.sleep(0.05)
        return len(qlik_sandbox.journal.requests(path=f"/api/v1/data-assets/{IDS[0]}"))

    while await reads() < 3:
        pass
    for key in IDS:
        qlik_sandbox.touch(key, dataFreshness=FRESH)
    payloads = [event.payload for event in await asyncio.wait_for(asyncio.gather(*events), 30)]

    assert {payload["status"] for payload in payloads} == {"success"}
    assert not [line for line in warnings(caplog) if "not allowed" in line or "429" in line]
    said = [record for record in caplog.records if "Polling again in about" in record.getMessage()]
    assert [(record.levelname, "429" in record.getMessage()) for record in said] == [("INFO", True)]


async def test_a_refused_poll_is_sent_when_it_may_be_not_an_interval_later(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    refuse_once(qlik_sandbox, 1)

    event = await until_done(make_trigger(poll_interval=6.0))

    assert event["status"] == "success"
    # The limiter lets the next one go 1 to 2 s later.
    refused, sent = (entry.arrived for entry in qlik_sandbox.journal.requests())
    assert sent - refused < 6.0 * 0.9


async def test_what_the_quota_forbids_for_long_waits_in_the_event_loop(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, for_a_while: Run
) -> None:
    refuse_once(qlik_sandbox, 30)
    caplog.set_level(logging.INFO, logger=PACKAGE)

    ticks = [time.monotonic()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.02)
            ticks.append(time.monotonic())

    ticking = asyncio.create_task(tick())
    await for_a_while(make_trigger(), 3)
    ticking.cancel()

    assert max(later - earlier for earlier, later in itertools.pairwise(ticks)) < 2.0
    assert len(qlik_sandbox.journal.requests()) == 1
    assert not warnings(caplog)
    said = [record for record in caplog.records if "Polling again in about 30 s" in record.getMessage()]
    assert len(said) == 1


async def test_a_wait_for_the_quota_does_not_outlast_the_deadline(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    refuse_once(qlik_sandbox, 25)
    started = time.monotonic()
    deadline = datetime.now(UTC) + timedelta(seconds=2)

    event = await until_done(make_trigger(deadline=deadline.isoformat()))

    assert event["status"] == "timeout"
    assert "429" in event["message"]
    assert time.monotonic() - started < 12


async def test_a_tenant_that_hangs_does_not_outlast_the_deadline(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    started = time.monotonic()
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=20, times=None, skip=1))

    event = await until_done(make_trigger(deadline=deadline.isoformat()))

    assert event["status"] == "timeout"
    assert time.monotonic() - started < 15
