"""Every error path of the trigger waits or ends; none raises, none spins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger
from airflow_provider_qlik_assets.watching.condition import Freshness

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]
Run = Callable[..., Any]

FRESH = "2026-02-01T00:00:00.000Z"

TRANSIENT = [
    Fault(kind="status", status=409, times=None),
    Fault(kind="status", status=429, times=None),
    Fault(kind="status", status=429, times=None, headers={"Retry-After": "1"}),
    Fault(kind="status", status=500, times=None),
    Fault(kind="html", status=502, times=None),
    Fault(kind="status", status=503, times=None),
    Fault(kind="drop", times=None),
    Fault(kind="html", status=200, times=None),
]


def name_of(fault: Any) -> str:
    return f"{fault.kind}-{fault.status}-{fault.headers.get('Retry-After')}"


@pytest.mark.parametrize("fault", TRANSIENT, ids=name_of)
async def test_what_may_pass_is_polled_again_ever_less_often(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, for_a_while: Run, fault: Fault
) -> None:
    qlik_sandbox.add_fault(fault)

    await for_a_while(make_trigger(poll_interval=0.03), 0.7)

    # At its interval it would poll about 20 times, without any wait hundreds of times.
    assert 1 <= len(qlik_sandbox.journal.requests()) <= 13


@pytest.mark.parametrize("fault", [fault for fault in TRANSIENT if not fault.headers], ids=name_of)
async def test_wait_goes_on_when_the_error_has_passed(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, fault: Fault
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    qlik_sandbox.add_fault(fault.model_copy(update={"times": 1}))

    assert (await until_done(make_trigger()))["status"] == "success"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, ("/api/v1/data-assets/a", "Correct the named field")),
        (401, ("/api/v1/data-stores/*/data-assets", "Check the API key")),
        (403, ("/api/v1/data-assets/a", "Give the user")),
        (404, ("/api/v1/data-assets/a", "Check the id")),
    ],
)
async def test_what_no_retry_can_heal_ends_the_wait_with_one_poll(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, status: int, said: tuple[str, str]
) -> None:
    body = {"errors": [{"code": "X-1", "title": "Refused"}], "traceId": "trace-1"}
    qlik_sandbox.add_fault(Fault(kind="status", status=status, times=None, body=body))

    event = await until_done(make_trigger())

    assert event["status"] == "error"
    for part in ("trace-1", *said, str(status), "X-1 Refused"):
        assert part in event["message"]
    assert qlik_sandbox.api_key not in event["message"]
    # Where the listing is refused, however it is sorted, the data asset itself is asked for.
    assert len(qlik_sandbox.journal.requests()) <= 4


async def test_missing_asset_advises_missing_ok(make_trigger: MakeTrigger, until_done: Run) -> None:
    event = await until_done(make_trigger(data_asset_ids=["a", "nowhere"]))

    assert event["status"] == "error"
    assert "nowhere" in event["message"]
    assert "missing_ok=True" in event["message"]


async def test_error_keeps_what_was_read_before(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=401, skip=2, times=None))

    event = await until_done(make_trigger())

    assert (event["status"], event["freshness"]) == ("error", {"a": "2026-01-01T00:00:00.000Z"})


async def test_a_key_that_is_replaced_meanwhile_ends_no_wait(
    make_trigger: MakeTrigger,
    qlik_sandbox: Sandbox,
    until_done: Run,
    set_connection: Callable[..., str],
) -> None:
    waiting = asyncio.create_task(until_done(make_trigger()))
    while len(qlik_sandbox.journal.requests()) < 2:
        await asyncio.sleep(0.01)
    set_connection(host=qlik_sandbox.url, login=qlik_sandbox.client_id, password=qlik_sandbox.client_secret)
    qlik_sandbox.add_fault(Fault(kind="revoke_token"))
    while not qlik_sandbox.journal.requests(path="/oauth/token"):
        await asyncio.sleep(0.01)
        assert not waiting.done(), waiting.result()
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert (await waiting)["status"] == "success"


@pytest.mark.parametrize("status", [429, 503])
async def test_no_server_stops_the_polls_for_long(
    make_trigger: MakeTrigger,
    qlik_sandbox: Sandbox,
    for_a_while: Run,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=status, headers={"Retry-After": "86400"}))

    with caplog.at_level(logging.INFO, logger="airflow_provider_qlik_assets"):
        await for_a_while(make_trigger(), 1)

    assert "Polling again in about 600 s: " in caplog.text


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, status: int
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    qlik_sandbox.add_fault(Fault(kind="status", status=status, headers={"Retry-After": "1"}))

    await until_done(make_trigger())

    refused, granted = qlik_sandbox.journal.requests()
    assert granted.arrived - refused.arrived >= 1.0


async def test_retry_after_beyond_the_deadline_does_not_outlast_it(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=429, times=None, headers={"Retry-After": "3600"}))
    deadline = datetime.now(UTC) + timedelta(seconds=0.7)

    event = await until_done(make_trigger(deadline=deadline.isoformat()))

    assert event["status"] == "timeout"
    assert len(qlik_sandbox.journal.requests()) == 1


# --- configuration ---------------------------------------------------------------------------------------


async def test_missing_connection(qlik_sandbox: Sandbox, make_trigger: MakeTrigger, until_done: Run) -> None:
    event = await until_done(make_trigger(qlik_conn_id="no_such_connection"))

    assert (event["status"], event["freshness"]) == ("error", {})
    assert "no_such_connection" in event["message"]
    assert "triggerer" in event["message"]
    assert not qlik_sandbox.journal.requests()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extra": {"verfy": True}}, "verify"),
        ({"host": "http://tenant.example"}, "https"),
        ({"password": ""}, "password"),
        ({"extra": {"rate_limit_store": "airflow-connection:no_such_redis"}}, "no_such_redis"),
    ],
)
async def test_wrong_connection(
    set_connection: Callable[..., str], until_done: Run, fields: dict[str, Any], message: str
) -> None:
    trigger = QlikDataFreshnessTrigger(
        qlik_conn_id=set_connection(**{"host": "https://tenant.example", "password": "top-secret", **fields}),
        data_asset_ids=["a"],
        fresh_since=FRESH,
        poll_interval=0.05,
    )

    event = await until_done(trigger)

    assert event["status"] == "error"
    assert message in event["message"]
    assert "top-secret" not in event["message"]


# --- what nobody expects ---------------------------------------------------------------------------------


async def test_unexpected_error_is_logged_and_polled_again(
    make_trigger: MakeTrigger, until_done: Run, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = make_trigger()
    condition: Any = BrokenOnce(trigger.condition)
    trigger.condition = condition

    with caplog.at_level(logging.WARNING, logger="airflow_provider_qlik_assets"):
        event = await until_done(trigger)

    assert event["status"] == "success"


class BrokenOnce:
    """A condition that has a bug at first."""

    def __init__(self, condition: Any) -> None:
        self._condition = condition
        self._broken = True

    def read(self, client: Any) -> Freshness:
        if self._broken:
            self._broken = False
            raise RuntimeError("bug")
        return {"a": None}

    def is_met(self, freshness: Freshness) -> bool:
        return True

    def describe(self, freshness: Freshness, names: Any) -> str:
        return "fresh"


async def test_many_wait_at_once(make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    events = await asyncio.gather(*(until_done(make_trigger()) for _ in range(20)))

    assert {event["status"] for event in events} == {"success"}


async def test_an_event_does_not_repeat_the_api_key_that_an_answer_repeats(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, caplog: pytest.LogCaptureFixture
) -> None:
    detail = f"blocked: Authorization: Bearer {qlik_sandbox.api_key}"
    body = {"errors": [{"code": "X-1", "title": "blocked", "detail": detail}]}
    qlik_sandbox.add_fault(Fault(kind="status", status=403, body=body, times=None))

    with caplog.at_level(logging.INFO):
        event = await until_done(make_trigger())

    assert event["status"] == "error"
    assert "blocked: Authorization: Bearer ***" in event["message"]
    assert qlik_sandbox.api_key not in caplog.text
