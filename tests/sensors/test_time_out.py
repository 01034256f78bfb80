"""A poke waits for nothing, so that time-outs hold to the second."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import (
    DAG,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

RunDag = Callable[[DAG], Any]

FRESH = "2026-02-01T00:00:00.000Z"
REFUSAL = Fault(kind="status", status=429, headers={"Retry-After": "25"})
FAULTS = [
    REFUSAL,
    Fault(kind="status", status=503, times=None, headers={"Retry-After": "25"}),
    Fault(kind="status", status=503, times=None),
    Fault(kind="drop", times=None),
    Fault(kind="delay", seconds=30, times=None),
]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}")


@pytest.fixture
def make_sensor(qlik_sandbox: Sandbox, qlik_conn_id: str) -> Callable[..., QlikDataFreshnessSensor]:
    """Make a sensor that waits for "a", which is stale, by a connection that waits and repeats for long."""
    qlik_sandbox.add_asset(id="a", technicalName="a", dataFreshness="2026-01-01T00:00:00Z")

    def make(**arguments: Any) -> QlikDataFreshnessSensor:
        return QlikDataFreshnessSensor(
            **{
                "task_id": "wait",
                "qlik_conn_id": qlik_conn_id,
                "data_asset_ids": ["a"],
                "fresh_since": "2026-01-31T06:30:00Z",
                "poke_interval": 1,
                "timeout": 3,
                **arguments,
            }
        )

    return make


@pytest.fixture
def seconds(make_sensor: Callable[..., QlikDataFreshnessSensor]) -> Callable[[], float]:
    with pytest.raises(TaskDeferred):  # the first one imports much of Airflow
        make_sensor(deferrable=True).execute({})
    started = time.monotonic()
    return lambda: time.monotonic() - started


@each_fault
@pytest.mark.slow
def test_poke_mode_ends_in_time(make_sensor: Any, qlik_sandbox: Sandbox, fault: Fault, seconds: Any) -> None:
    qlik_sandbox.add_fault(fault)
    sensor = make_sensor()

    with pytest.raises(AirflowSensorTimeout):
        sensor.execute({})

    assert 3 <= seconds() < 5.5


@each_fault
def test_deferrable_sensor_defers_at_once(
    make_sensor: Any, qlik_sandbox: Sandbox, fault: Fault, seconds: Any
) -> None:
    qlik_sandbox.add_fault(fault)

    with pytest.raises(TaskDeferred):
        # A request that hangs ends with the sensor's time-out.
        make_sensor(deferrable=True, timeout=3 if fault.kind == "delay" else 120).execute({})

    assert seconds() < 20  # the faults last longer
    assert sum(entry.fault == fault.kind for entry in qlik_sandbox.journal.requests()) == 1


@pytest.mark.parametrize("mode", [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}])
@pytest.mark.slow
def test_a_real_run_ends_in_time(
    make_sensor: Any, qlik_sandbox: Sandbox, run_dag: RunDag, mode: dict[str, Any]
) -> None:
    qlik_sandbox.add_fault(REFUSAL)
    name = "-".join(map(str, mode.values()))
    with DAG(f"time_out_{name}", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        make_sensor(**mode, retries=3)

    assert run_dag(dag).state == "failed"
    (poke,) = qlik_sandbox.journal.requests()
    assert time.monotonic() - poke.arrived < 15  # some of it is Airflow's


@pytest.mark.slow
def test_a_request_that_hangs_ends_in_time_in_a_later_process_too(
    make_sensor: Any, qlik_sandbox: Sandbox, run_dag: RunDag
) -> None:
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=40, times=None, skip=2))
    with DAG("hangs_later", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        make_sensor(mode="reschedule", timeout=12)

    assert run_dag(dag).state == "failed"
    ended = time.monotonic()
    first, _, hangs, *last = qlik_sandbox.journal.requests()
    assert hangs.arrived - first.arrived > 1.5
    assert len(last) <= 1  # at the time-out itself
    assert ended - first.arrived < 12 + 5  # some of it is Airflow's


def test_a_poke_is_not_made_before_the_rate_limit_allows_it(
    make_sensor: Any, qlik_sandbox: Sandbox, logged: Callable[[str], list[str]]
) -> None:
    qlik_sandbox.add_fault(REFUSAL)

    with pytest.raises(AirflowSensorTimeout):
        make_sensor(poke_interval=0).execute({})

    # What was refused, and the last look at the time-out.
    assert len(logged("Polling again as soon as the quota allows: ")) == 2


def test_many_ids_are_read_although_requests_are_spaced(
    make_sensor: Any, qlik_sandbox: Sandbox, set_connection: Callable[..., str]
) -> None:
    set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra={"tier1_limit": 400})
    ids = ["x", "y", "z"]
    for key in ids:
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness=FRESH)
    qlik_sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": "1"}))

    assert make_sensor(data_asset_ids=ids, timeout=20).execute({})["freshness"] == dict.fromkeys(ids, FRESH)


def test_the_time_out_comes_before_the_next_poke(make_sensor: Any, seconds: Any) -> None:
    with pytest.raises(AirflowSensorTimeout):
        make_sensor(poke_interval=60, timeout=1).execute({})

    assert seconds() < 20


def test_the_last_look_is_at_the_time_out(make_sensor: Any, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=503))
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert make_sensor(poke_interval=60, timeout=3).execute({})["freshness"] == {"a": FRESH}


def test_a_poke_that_was_refused_is_made_up_for_as_soon_as_it_may_be(
    make_sensor: Any, qlik_sandbox: Sandbox, logged: Callable[[str], list[str]], seconds: Any
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": "1"}))
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert make_sensor(poke_interval=60, timeout=120).execute({})

    assert seconds() < 30
    [line] = logged("Polling again as soon as the quota allows: ")
    assert "info" in line.lower()


def test_many_ids_are_not_read_beyond_the_time_out(
    make_sensor: Any, qlik_sandbox: Sandbox, seconds: Any
) -> None:
    ids = [f"id-{number}" for number in range(20)]
    for key in ids:
        qlik_sandbox.add_asset(id=key, technicalName=key)
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=1.0, times=None))

    with pytest.raises(AirflowSensorTimeout):
        make_sensor(data_asset_ids=ids, timeout=2).execute({})

    assert seconds() < 12  # all of them would take 20


@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail"])
def test_a_time_out_skips_a_lenient_sensor(make_sensor: Any, lenient: str) -> None:
    with pytest.raises(AirflowSkipException):
        make_sensor(timeout=0.3, poke_interval=0.1, **{lenient: True}).execute({})
