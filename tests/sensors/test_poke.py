"""Waiting on a worker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

MakeSensor = Callable[..., QlikDataFreshnessSensor]

SINCE = "2026-01-31T06:30:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"


@contextmanager
def changed_soon(sandbox: Sandbox, **assets: str) -> Iterator[None]:
    """Change the freshness of data assets as soon as they have been read."""
    over = threading.Event()

    def change() -> None:
        while not sandbox.journal.requests() and not over.wait(0.02):
            pass
        time.sleep(0.2)
        for asset_id, freshness in assets.items():
            sandbox.touch(asset_id, dataFreshness=freshness)

    thread = threading.Thread(target=change)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.parametrize("freshness", [FRESH, SINCE])
def test_fresh_already(make_sensor: MakeSensor, qlik_sandbox: Sandbox, freshness: str) -> None:
    qlik_sandbox.touch("a", dataFreshness=freshness)
    result = make_sensor().execute({})

    assert result == {"freshness": {"a": freshness}, "waited_for": SINCE}
    assert json.loads(json.dumps(result)) == result
    assert len(qlik_sandbox.journal.requests()) == 1


def test_becomes_fresh(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    with changed_soon(qlik_sandbox, a=FRESH):
        result = make_sensor().execute({})

    assert result == {"freshness": {"a": FRESH}, "waited_for": SINCE}
    assert len(qlik_sandbox.journal.requests()) > 1


@pytest.mark.parametrize(("match", "done"), [("all", False), ("any", True)])
def test_match(make_sensor: MakeSensor, qlik_sandbox: Sandbox, match: str, done: bool) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b", dataFreshness=FRESH)

    assert bool(make_sensor(data_asset_ids=["a", "b"], match=match).poke({})) is done


@pytest.mark.parametrize(("age", "done"), [(50, True), (70, False)])
@pytest.mark.parametrize("max_age", [60, "60", timedelta(minutes=1)])
def test_max_age(
    make_sensor: MakeSensor, qlik_sandbox: Sandbox, age: float, done: bool, max_age: Any
) -> None:
    stamped = datetime.now(UTC) - timedelta(seconds=age)
    qlik_sandbox.touch("a", dataFreshness=stamped.isoformat(timespec="milliseconds"))

    assert bool(make_sensor(max_age=max_age).poke({})) is done


def test_max_age_is_counted_from_each_poll(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.touch("a", dataFreshness=datetime.now(UTC).isoformat(timespec="milliseconds"))
    sensor = make_sensor(max_age=0.5)
    assert sensor.poke({})

    time.sleep(0.6)

    assert not sensor.poke({})


def test_never_stamped_is_not_fresh(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.touch("a", dataFreshness=None)

    assert not make_sensor().poke({})


# --- errors ----------------------------------------------------------------------------------------------


def test_missing_asset_fails_at_once(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match=r"nowhere.*Set missing_ok=True"):
        make_sensor(data_asset_ids=["nowhere"]).execute({})

    assert len(qlik_sandbox.journal.requests()) == 1


def test_missing_asset_is_waited_for(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    sensor = make_sensor(data_asset_ids=["nowhere"], missing_ok=True)
    assert not sensor.poke({})

    qlik_sandbox.add_asset(id="nowhere", technicalName="n", dataFreshness=FRESH)

    assert sensor.poke({})


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=500, times=2),
        Fault(kind="status", status=503, times=2),
        Fault(kind="html", status=502, times=2),
        Fault(kind="html", status=404, times=2),
        Fault(kind="drop", times=2),
        Fault(kind="status", status=429, headers={"Retry-After": "1"}),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_what_may_pass_is_polled_again(make_sensor: MakeSensor, qlik_sandbox: Sandbox, fault: Fault) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    qlik_sandbox.add_fault(fault)

    assert make_sensor().execute({})["freshness"] == {"a": FRESH}
    assert len(qlik_sandbox.journal.requests()) == (fault.times or 0) + 1


def test_long_rate_limit_does_not_fail_the_poll(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": "7200"}))
    sensor = make_sensor()

    assert not sensor.poke({})
    assert not sensor.poke({})  # not sent: the wait would be longer than a request may wait
    assert len(qlik_sandbox.journal.requests()) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_no_retry_can_heal_fails_at_once(
    make_sensor: MakeSensor, qlik_sandbox: Sandbox, status: int
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=status, times=None))

    with pytest.raises(AirflowFailException, match=str(status)) as raised:
        make_sensor().execute({})

    assert "Qlik trace id" in str(raised.value)
    assert qlik_sandbox.api_key not in str(raised.value)
    assert len(qlik_sandbox.journal.requests()) == 1


def test_wrong_connection_fails_at_once(make_sensor: MakeSensor, set_connection: Callable[..., str]) -> None:
    sensor = make_sensor()
    set_connection(host="http://tenant.example", password="top-secret")

    with pytest.raises(AirflowFailException, match="https"):
        sensor.execute({})


@pytest.mark.parametrize("deferrable", [False, True])
def test_missing_connection_is_named(make_sensor: MakeSensor, deferrable: bool) -> None:
    with pytest.raises(AirflowFailException, match=r"no_such_connection.*Define the connection"):
        make_sensor(qlik_conn_id="no_such_connection", deferrable=deferrable).execute({})


# --- the end of the wait ---------------------------------------------------------------------------------


def test_time_out(make_sensor: MakeSensor) -> None:
    with pytest.raises(AirflowSensorTimeout):
        make_sensor(timeout=0.3).execute({})


@pytest.mark.parametrize(
    "arguments", [{"timeout": 0.3}, {"data_asset_ids": ["nowhere"]}], ids=["time-out", "permanent error"]
)
def test_soft_fail_skips(make_sensor: MakeSensor, arguments: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        make_sensor(soft_fail=True, **arguments).execute({})


def test_never_fail_skips(make_sensor: MakeSensor) -> None:
    with pytest.raises(AirflowSkipException):
        make_sensor(never_fail=True, data_asset_ids=["nowhere"]).execute({})
