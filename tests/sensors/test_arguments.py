from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, AirflowFailException, BaseOperator
from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

MakeSensor = Callable[..., QlikDataFreshnessSensor]

FINE: dict[str, Any] = {"task_id": "wait", "data_asset_ids": ["a"], "fresh_since": "2026-01-01T00:00:00Z"}

WRONG = [
    ({"data_asset_ids": None}, "data_asset_ids must be an id or a list of ids"),
    ({"data_asset_ids": {"id": "a"}}, "data_asset_ids must be an id or a list of ids"),
    ({"data_asset_ids": []}, "name at least one"),
    ({"data_asset_ids": ["*"]}, "name each data asset"),
    ({"data_asset_ids": [""]}, "is not a valid id"),
    ({"fresh_since": "2026-01-01"}, "not an instant"),
    ({"fresh_since": ""}, "not an instant"),
    ({"fresh_since": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)}, "no time zone"),
    ({"fresh_since": date(2026, 1, 1)}, "not date"),
    ({"fresh_since": None}, "either fresh_since or max_age"),
    ({"max_age": 5}, "either fresh_since or max_age"),
    ({"fresh_since": None, "max_age": 0}, "max_age must be a timedelta or a number of seconds"),
    ({"fresh_since": None, "max_age": "1:00:00"}, "max_age must be a timedelta or a number of seconds"),
    ({"match": "some"}, "'all' or 'any'"),
    ({"data_store_ids": [""]}, "is not a valid id"),
    ({"missing_ok": "maybe"}, "missing_ok must be true or false"),
]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"data_asset_ids": "a"},
        {"fresh_since": datetime(2026, 1, 1, tzinfo=UTC)},
        {"fresh_since": None, "max_age": timedelta(hours=1)},
        {"fresh_since": None, "max_age": 3600},
        {"match": "any", "data_store_ids": "s", "missing_ok": True},
    ],
)
def test_right_arguments_need_neither_connection_nor_tenant(arguments: dict[str, Any]) -> None:
    arguments = {**FINE, "qlik_conn_id": "no_such_connection", **arguments}
    sensor = QlikDataFreshnessSensor(**arguments)

    assert {name: getattr(sensor, name) for name in arguments.keys() - {"task_id"}} == {
        name: value for name, value in arguments.items() if name != "task_id"
    }


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_argument_fails_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        QlikDataFreshnessSensor(**{**FINE, **arguments})


@pytest.mark.parametrize(
    "name", ["data_asset_ids", "fresh_since", "max_age", "match", "data_store_ids", "missing_ok"]
)
@pytest.mark.parametrize("as_output", [False, True])
def test_what_is_not_rendered_yet_is_not_checked(name: str, as_output: bool) -> None:
    with DAG("d", schedule=None):
        unknown = BaseOperator(task_id="other").output if as_output else "{{ params.x }}"
        arguments = {**FINE, name: unknown}
        if name == "max_age":
            del arguments["fresh_since"]
        sensor = QlikDataFreshnessSensor(**arguments)

    assert getattr(sensor, name) is unknown


@pytest.mark.parametrize(
    ("arguments", "value", "message"),
    [
        ({"data_asset_ids": "{{ x }}"}, ["a"], "data_asset_ids was rendered to text that is not JSON"),
        ({"data_asset_ids": "{{ x }}"}, None, "data_asset_ids became 'None'"),
        ({"data_asset_ids": "{{ x }}"}, [], "name at least one"),
        ({"fresh_since": "{{ x }}"}, "", "fresh_since became ''"),
        ({"fresh_since": "{{ x }}"}, None, "fresh_since became 'None'"),
        ({"fresh_since": None, "max_age": "{{ x }}"}, timedelta(hours=1), "not '1:00:00'"),
        ({"match": "{{ x }}"}, None, "match became 'None'"),
        ({"missing_ok": "{{ x }}"}, None, "missing_ok became 'None'"),
    ],
)
def test_wrong_text_fails_before_anything_is_sent(
    make_sensor: MakeSensor, qlik_sandbox: Sandbox, arguments: dict[str, Any], value: Any, message: str
) -> None:
    sensor = make_sensor(**arguments)
    sensor.render_template_fields({"x": value})

    with pytest.raises(AirflowFailException, match=message):
        sensor.execute({})

    assert not qlik_sandbox.journal.requests()


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"data_asset_ids": "{{ x | tojson }}"}, ["a"]),
        ({"data_asset_ids": "{{ x }}"}, "a"),
        ({"data_asset_ids": ["{{ x }}"]}, "a"),
        ({"fresh_since": "{{ x }}"}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"fresh_since": None, "max_age": "{{ x }}"}, 864_000_000),
        ({"match": "{{ x }}"}, "any"),
        ({"missing_ok": "{{ x }}", "data_asset_ids": ["a", "nowhere"], "match": "any"}, True),
        ({"qlik_conn_id": "{{ x }}"}, "qlik_cloud_default"),
    ],
)
def test_rendered_text_works(
    make_sensor: MakeSensor, qlik_sandbox: Sandbox, arguments: dict[str, Any], value: Any
) -> None:
    qlik_sandbox.touch("a", dataFreshness="2026-02-01T00:00:00Z")
    sensor = make_sensor(**arguments)
    sensor.render_template_fields({"x": value})

    assert sensor.execute({})["freshness"]["a"] == "2026-02-01T00:00:00.000Z"


@pytest.mark.slow
def test_deferrable_is_airflows_default() -> None:
    """Read when the module is imported, as all of Airflow's own operators do."""
    script = (
        "from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor as Sensor;"
        "print(Sensor(task_id='t', data_asset_ids='a', max_age=1).deferrable,"
        " Sensor(task_id='t', data_asset_ids='a', max_age=1, deferrable=False).deferrable)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split()[-2:] == ["True", "False"]
    assert not QlikDataFreshnessSensor(**FINE).deferrable
