"""A sensor that is ended from outside while it polls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowSensorTimeout
from airflow_provider_qlik_assets.client.errors import QlikStoppedError
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

MakeSensor = Callable[..., QlikDataFreshnessSensor]
IDS = [f"id-{number}" for number in range(20)]


@pytest.fixture
def sensor(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> MakeSensor:
    for key in IDS:
        qlik_sandbox.add_asset(id=key, technicalName=key)
    return lambda **arguments: make_sensor(**{"data_asset_ids": IDS, "timeout": 60, **arguments})


def killed(task: QlikDataFreshnessSensor, when: Callable[[], bool]) -> None:
    """Run a task that is killed at some moment, as Airflow 3 does on SIGTERM."""

    def kill() -> None:
        while not when():
            time.sleep(0.01)
        task.on_kill()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(QlikStoppedError):
        task.execute({})


@pytest.mark.parametrize("mode", [{}, {"deferrable": True}, {"soft_fail": True}])
def test_a_poke_stops_before_its_next_request(
    sensor: MakeSensor, qlik_sandbox: Sandbox, mode: dict[str, Any]
) -> None:
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=0.3, times=None))

    killed(sensor(**mode), lambda: len(qlik_sandbox.journal) >= 2)

    assert len(qlik_sandbox.journal) <= 4


def test_a_wait_for_the_rate_limit_ends(
    sensor: MakeSensor, qlik_sandbox: Sandbox, set_connection: Callable[..., str]
) -> None:
    set_connection(
        host=qlik_sandbox.url,
        password=qlik_sandbox.api_key,
        extra={"tier1_limit": 10, "rate_limit_window": 9},
    )
    began = time.monotonic()

    killed(sensor(), lambda: len(qlik_sandbox.journal) >= 9)

    assert time.monotonic() - began < 5


def test_nothing_is_sent_after_the_pause_in_which_it_was_killed(
    sensor: MakeSensor, qlik_sandbox: Sandbox
) -> None:
    killed(sensor(poke_interval=1), lambda: len(qlik_sandbox.journal) >= len(IDS))

    assert len(qlik_sandbox.journal) == len(IDS)


def test_a_try_that_was_ended_does_not_end_the_next_one(sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    task = sensor(poke_interval=0.5, timeout=1)
    killed(task, lambda: len(qlik_sandbox.journal) >= 1)

    with pytest.raises(AirflowSensorTimeout):
        task.execute({})
