"""One table of what is permanent, the same for every operator, the sensor and the ends of a deferral."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    BaseOperator,
    TaskDeferred,
)
from airflow_provider_qlik_assets.client import errors
from airflow_provider_qlik_assets.client.errors import QlikCloudError
from airflow_provider_qlik_assets.client.verdicts import PERMANENT_ERRORS
from airflow_provider_qlik_assets.failures import is_permanent
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor
from airflow_provider_qlik_assets.triggers import data_freshness, shared_poll

README = (Path(__file__).parents[1] / "README.md").read_text()

OPERATORS: dict[str, tuple[type[BaseOperator], dict[str, Any]]] = {
    "upsert": (QlikUpsertDataAssetOperator, {"data_asset": {"id": "a", "name": "n"}}),
    "patch": (QlikPatchDataAssetOperator, {"data_asset_id": "a", "changes": {"name": "n"}}),
    "stamp": (QlikUpdateDataFreshnessOperator, {"data_asset_ids": ["a", "b"]}),
    "delete": (QlikDeleteDataAssetsOperator, {"data_asset_ids": ["a"]}),
    "sync": (
        QlikSyncDataAssetsOperator,
        {"data_store_id": "store", "data_assets": [{"technicalName": "t-a", "appType": "x", "name": "n"}]},
    ),
    "clean-up": (
        QlikCleanUpDataAssetsOperator,
        {"data_store_ids": ["store"], "stale_after": 60, "max_fraction": 1},
    ),
}
SENSOR: dict[str, Any] = {"data_asset_ids": ["a"], "fresh_since": "2026-01-31T06:30:00Z", "timeout": 60}
each_operator = pytest.mark.parametrize("work", OPERATORS)

HTML = Fault(kind="html", status=200, times=None)
DROP = Fault(kind="drop", times=None)
PERMANENT = {400: "400", 401: "401", 403: "403", 404: "404"}
HTML_404 = Fault(kind="html", status=404, times=None)
PASSING: list[Any] = [409, 429, 500, 502, 503, HTML, HTML_404, DROP]


def fault_of(kind: Any) -> Fault:
    return kind if isinstance(kind, Fault) else Fault(kind="status", status=kind, times=None)


def name_of(kind: Any) -> str:
    return f"{kind.kind}-{kind.status}" if isinstance(kind, Fault) else str(kind)


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox) -> None:
    store = qlik_sandbox.add_store(id="store", name="Store")
    for key in "ab":
        qlik_sandbox.add_asset(
            store, id=key, technicalName=f"t-{key}", appType="x", dataFreshness="2026-01-01T00:00:00Z"
        )


@pytest.fixture
def conn_id(qlik_sandbox: Sandbox, set_connection: Callable[..., str]) -> str:
    """Id of a connection that repeats nothing and waits for nothing."""
    extra = {"max_retries": 0, "max_retry_wait": 0, "max_rate_limit_wait": 0}
    return set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=extra)


def execute(work: str, conn_id: str) -> Any:
    operator, arguments = OPERATORS[work]
    return operator(task_id="t", qlik_conn_id=conn_id, **arguments).execute({})


# --- operators -------------------------------------------------------------------------------------------


@each_operator
@pytest.mark.parametrize("status", PERMANENT)
def test_permanent_answer_fails_an_operator(
    conn_id: str, qlik_sandbox: Sandbox, work: str, status: int
) -> None:
    qlik_sandbox.add_fault(fault_of(status))
    if status == 404 and work == "delete":  # what is gone is what was wanted
        assert execute(work, conn_id)["counts"] == {"missing": 1}
        return

    with pytest.raises(AirflowFailException) as raised:
        execute(work, conn_id)

    assert is_permanent(raised.value.__cause__)  # type: ignore[arg-type]


@each_operator
@pytest.mark.parametrize("kind", PASSING, ids=name_of)
def test_other_answers_are_left_to_retries(conn_id: str, qlik_sandbox: Sandbox, work: str, kind: Any) -> None:
    qlik_sandbox.add_fault(fault_of(kind))

    with pytest.raises(QlikCloudError) as raised:
        execute(work, conn_id)

    assert not is_permanent(raised.value)


@each_operator
def test_missing_connection_fails_an_operator(work: str) -> None:
    with pytest.raises(AirflowFailException, match=r"no_such_connection.*Define the connection"):
        execute(work, "no_such_connection")


class Unreachable:
    """A secrets backend that cannot be reached; Airflow goes on to the next one, and tells nobody."""

    def get_connection(self, conn_id: str, team_name: str | None = None) -> None:
        raise ConnectionError("no route to the vault")


def test_a_secrets_backend_that_is_unavailable_is_named_as_a_possible_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for home in ("airflow.sdk.configuration", "airflow.models.connection", "airflow.configuration"):
        with contextlib.suppress(ImportError, AttributeError):
            monkeypatch.setattr(f"{home}.ensure_secrets_loaded", lambda *_, **__: [Unreachable()])

    with pytest.raises(
        AirflowFailException, match=r"secrets backend.*may have been unreachable.*run the task again"
    ):
        execute("stamp", "qlik_in_the_vault")


@each_operator
def test_wrong_connection_fails_an_operator(set_connection: Callable[..., str], work: str) -> None:
    with pytest.raises(AirflowFailException, match="https"):
        execute(work, set_connection(host="http://tenant.example", password="top-secret"))


# --- the sensor, before and after a deferral --------------------------------------------------------------


def sensor(conn_id: str, **arguments: Any) -> QlikDataFreshnessSensor:
    return QlikDataFreshnessSensor(task_id="t", qlik_conn_id=conn_id, **{**SENSOR, **arguments})


async def end_of_deferral(conn_id: str, **arguments: Any) -> Any:
    """Let a real trigger wait, and give what it says to the sensor."""
    trigger = data_freshness.QlikDataFreshnessTrigger(
        qlik_conn_id=conn_id,
        data_asset_ids=["a"],
        fresh_since=SENSOR["fresh_since"],
        poll_interval=0.05,
    )
    event = await anext(trigger.run())
    return sensor(conn_id, **arguments).execute_complete({}, event.payload)


@pytest.fixture
def intervals_may_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shared_poll, data_freshness):
        monkeypatch.setattr(module, "SHORTEST_INTERVAL_SECONDS", 0.01)


each_leniency = pytest.mark.parametrize("lenient", [{}, {"soft_fail": True}, {"never_fail": True}])


def end_of(lenient: dict[str, bool]) -> type[Exception]:
    return AirflowSkipException if lenient else AirflowFailException


@each_leniency
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("status", PERMANENT)
def test_permanent_answer_ends_the_sensor(
    conn_id: str, qlik_sandbox: Sandbox, status: int, deferrable: bool, lenient: dict[str, bool]
) -> None:
    qlik_sandbox.add_fault(fault_of(status))

    with pytest.raises(end_of(lenient)):
        sensor(conn_id, deferrable=deferrable, **lenient).execute({})


@each_leniency
@pytest.mark.parametrize("status", PERMANENT)
@pytest.mark.usefixtures("intervals_may_be_short")
async def test_permanent_answer_ends_a_deferred_sensor(
    conn_id: str, qlik_sandbox: Sandbox, status: int, lenient: dict[str, bool]
) -> None:
    qlik_sandbox.add_fault(fault_of(status))

    with pytest.raises(end_of(lenient), match=str(status)):
        await end_of_deferral(conn_id, **lenient)


@pytest.mark.parametrize("kind", PASSING, ids=name_of)
def test_other_answers_make_the_sensor_poll_again(conn_id: str, qlik_sandbox: Sandbox, kind: Any) -> None:
    qlik_sandbox.add_fault(fault_of(kind))

    assert not sensor(conn_id).poke({})
    with pytest.raises(TaskDeferred):
        sensor(conn_id, deferrable=True).execute({})


@each_leniency
@pytest.mark.parametrize("deferrable", [False, True])
def test_missing_connection_ends_the_sensor(deferrable: bool, lenient: dict[str, bool]) -> None:
    with pytest.raises(end_of(lenient)):
        sensor("no_such_connection", deferrable=deferrable, **lenient).execute({})


@each_leniency
@pytest.mark.usefixtures("intervals_may_be_short")
async def test_missing_connection_ends_a_deferred_sensor(lenient: dict[str, bool]) -> None:
    with pytest.raises(end_of(lenient), match=r"no_such_connection.*and the triggerer"):
        await end_of_deferral("no_such_connection", **lenient)


@pytest.mark.parametrize("lenient", ["soft_fail", "never_fail"])
def test_a_trigger_that_failed_skips_a_lenient_sensor(conn_id: str, lenient: str) -> None:
    with pytest.raises(AirflowSkipException):
        sensor(conn_id, **{lenient: True}).resume_execution("__fail__", {"error": "Trigger failure"}, {})


# --- the table -------------------------------------------------------------------------------------------


def table_of_the_readme() -> dict[str, bool]:
    """Return, by error class, whether the README calls it permanent."""
    rows = re.findall(r"^\| (`\w+Error`.*|`\w+Exception`.*) \| (fails|is retried)", README, re.MULTILINE)
    return {
        name: verdict == "fails"
        for names, verdict in rows
        for name in re.findall(r"`(\w+(?:Error|Exception))`", names)
    }


def test_the_readme_tells_of_every_error_class_what_the_code_does() -> None:
    classes = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QlikCloudError)
    ]
    bases = {errors.QlikCloudError, errors.QlikApiError, errors.QlikPartialFailureError}
    expected = {
        kind.__name__: issubclass(kind, (*PERMANENT_ERRORS, AirflowNotFoundException))
        for kind in [*classes, AirflowNotFoundException]
        if kind not in bases
    }
    assert table_of_the_readme() == expected
