"""Waiting in the triggerer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    Asset,
    TaskDeferred,
    get_listener_manager,
    task,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

MakeSensor = Callable[..., QlikDataFreshnessSensor]

SINCE = "2026-01-31T06:30:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"
FOUND = {"status": "success", "freshness": {"a": FRESH}, "message": "Data assets are fresh: a."}


def deferral(sensor: QlikDataFreshnessSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        sensor.execute({})
    return raised.value


def seconds_until(instant: str) -> float:
    return (datetime.fromisoformat(instant) - datetime.now(UTC)).total_seconds()


# --- before ----------------------------------------------------------------------------------------------


def test_fresh_already_is_not_deferred(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert make_sensor(deferrable=True).execute({}) == {"freshness": {"a": FRESH}, "waited_for": SINCE}
    assert len(qlik_sandbox.journal.requests()) == 1


def test_trigger_gets_what_the_sensor_was_given(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b")
    deferred = deferral(
        make_sensor(
            deferrable=True,
            data_asset_ids=("a", "b", "nowhere", "a"),
            fresh_since=datetime(2026, 1, 31, 7, 30, tzinfo=UTC) - timedelta(hours=1),
            data_store_ids="s",
            missing_ok="True",
            poke_interval=30,
            timeout=100,
        )
    )
    arguments = deferred.trigger.serialize()[1]

    assert 90 < seconds_until(arguments.pop("deadline")) <= 100
    assert arguments == {
        "qlik_conn_id": "qlik_cloud_default",
        "data_asset_ids": ["a", "b", "nowhere"],
        "fresh_since": SINCE,
        "match": "all",
        "data_store_ids": ["s"],
        "poll_interval": 30.0,
        "missing_ok": True,
        "ends_task": False,
        "pushes_result": True,
    }
    assert deferred.method_name == "execute_complete"
    assert deferred.kwargs == {"waited_for": SINCE}
    json.dumps(arguments)


def test_airflows_time_out_is_the_net_below_the_triggers(make_sensor: MakeSensor) -> None:
    deferred = deferral(make_sensor(deferrable=True, timeout=100))

    assert deferred.timeout is not None
    assert timedelta(seconds=160) <= deferred.timeout <= timedelta(hours=1)


def test_max_age_counts_from_the_moment_of_deferring(make_sensor: MakeSensor) -> None:
    deferred = deferral(make_sensor(deferrable=True, max_age=60))

    assert -65 < seconds_until(deferred.trigger.serialize()[1]["fresh_since"]) <= -60


def test_trigger_never_polls_without_a_pause(make_sensor: MakeSensor) -> None:
    deferred = deferral(make_sensor(deferrable=True, poke_interval=0))

    assert deferred.trigger.serialize()[1]["poll_interval"] >= 1.0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=503, times=None),
        Fault(kind="drop", times=None),
        Fault(kind="status", status=429, times=None, headers={"Retry-After": "3600"}),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_what_may_pass_is_waited_out_in_the_triggerer(
    make_sensor: MakeSensor, qlik_sandbox: Sandbox, fault: Fault
) -> None:
    qlik_sandbox.add_fault(fault)

    waiting = deferral(make_sensor(deferrable=True))

    name, arguments = waiting.trigger.serialize()
    assert name.endswith(".QlikDataFreshnessTrigger")
    assert arguments["data_asset_ids"] == ["a"]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_no_retry_can_heal_is_not_deferred(
    make_sensor: MakeSensor, qlik_sandbox: Sandbox, status: int
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=status, times=None))

    with pytest.raises(AirflowFailException, match=str(status)):
        make_sensor(deferrable=True).execute({})


def test_missing_asset_is_not_deferred(make_sensor: MakeSensor) -> None:
    with pytest.raises(AirflowFailException, match=r"nowhere.*Set missing_ok=True"):
        make_sensor(deferrable=True, data_asset_ids="nowhere").execute({})


@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail"])
def test_lenient_sensor_is_skipped_before_it_is_deferred(make_sensor: MakeSensor, lenient: str) -> None:
    with pytest.raises(AirflowSkipException, match="nowhere"):
        make_sensor(deferrable=True, data_asset_ids="nowhere", **{lenient: True}).execute({})


# --- which of the two ends the task ----------------------------------------------------------------------


def in_a_dag(make_sensor: MakeSensor, **arguments: Any) -> QlikDataFreshnessSensor:
    defaults = arguments.pop("default_args", {})
    with DAG("waits", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, default_args=defaults):
        return make_sensor(deferrable=True, **arguments)


def ends_in_the_triggerer(sensor: QlikDataFreshnessSensor) -> bool:
    return bool(deferral(sensor).trigger.serialize()[1]["ends_task"])


def test_the_triggerer_ends_a_task_that_only_waits(make_sensor: MakeSensor) -> None:
    assert ends_in_the_triggerer(in_a_dag(make_sensor))


@pytest.mark.parametrize(
    "arguments",
    [
        {"outlets": [Asset("qlik-orders")]},
        {"multiple_outputs": True},
        {"post_execute": lambda *_: None},
        {"map_index_template": "{{ task.task_id }}"},
        {"on_success_callback": lambda *_: None},
        {"on_success_callback": [lambda *_: None]},
        {"default_args": {"on_success_callback": lambda *_: None}},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_a_worker_ends_a_task_that_does_more(make_sensor: MakeSensor, arguments: dict[str, Any]) -> None:
    assert not ends_in_the_triggerer(in_a_dag(make_sensor, **arguments))


@pytest.mark.parametrize("pushed", [True, False])
def test_the_trigger_knows_whether_there_is_a_result_to_push(make_sensor: MakeSensor, pushed: bool) -> None:
    sensor = in_a_dag(make_sensor, do_xcom_push=pushed)

    assert deferral(sensor).trigger.serialize()[1]["pushes_result"] is pushed


def test_a_worker_ends_a_task_that_others_are_mapped_over(make_sensor: MakeSensor) -> None:
    sensor = in_a_dag(make_sensor)

    @task(dag=sensor.dag)
    def use(entry: Any) -> None: ...

    use.expand(entry=sensor.output)

    assert not ends_in_the_triggerer(sensor)


def test_a_worker_ends_a_task_of_a_class_of_ones_own(make_sensor: MakeSensor) -> None:
    class Own(QlikDataFreshnessSensor):
        def execute_complete(self, context: Any, *arguments: Any, **others: Any) -> Any:
            return super().execute_complete(context, *arguments, **others)

    sensor = in_a_dag(make_sensor)
    sensor.__class__ = Own

    assert not ends_in_the_triggerer(sensor)


def test_a_worker_ends_a_task_that_listeners_want_to_hear_of(make_sensor: MakeSensor) -> None:
    manager = get_listener_manager()
    manager.pm.register(listener := object())
    try:
        assert not ends_in_the_triggerer(in_a_dag(make_sensor))
    finally:
        manager.pm.unregister(listener)


def test_a_worker_stores_the_result_where_airflow_stores_it_elsewhere(
    make_sensor: MakeSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "tests.backend.OwnXCom")

    assert not ends_in_the_triggerer(in_a_dag(make_sensor))


# --- after -----------------------------------------------------------------------------------------------


def test_success(make_sensor: MakeSensor) -> None:
    result = make_sensor(max_age=60).execute_complete({}, FOUND, waited_for=SINCE)

    assert result == {"freshness": {"a": FRESH}, "waited_for": SINCE}


def test_success_where_airflow_drops_the_arguments(make_sensor: MakeSensor) -> None:
    assert make_sensor().execute_complete({}, FOUND)["waited_for"] == SINCE


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        ({"status": "timeout", "message": "Timed out."}, AirflowSensorTimeout, "Timed out."),
        ({"status": "error", "message": "403 Forbidden."}, AirflowFailException, "403 Forbidden."),
        (None, AirflowException, "unexpected event"),
        ({}, AirflowException, "unexpected event"),
        ({"status": "done", "freshness": {"a": FRESH}}, AirflowException, "done"),
        ({"status": "success"}, AirflowException, "unexpected event"),
        ({"status": "success", "freshness": None}, AirflowException, "unexpected event"),
        ("success", AirflowException, "unexpected event"),
    ],
)
class TestEventThatIsNoSuccess:
    def test_fails(
        self, make_sensor: MakeSensor, event: Any, error: type[AirflowException], message: str
    ) -> None:
        with pytest.raises(error, match=message) as raised:
            make_sensor().execute_complete({}, event)

        assert type(raised.value) is error

    @pytest.mark.parametrize("lenient", ["soft_fail", "never_fail"])
    def test_skips(
        self, make_sensor: MakeSensor, event: Any, error: type[Exception], message: str, lenient: str
    ) -> None:
        with pytest.raises(AirflowSkipException, match=message):
            make_sensor(**{lenient: True}).execute_complete({}, event)
