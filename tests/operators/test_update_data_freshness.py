from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pendulum
import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.operators.data_assets import QlikUpdateDataFreshnessOperator
from airflow_provider_qlik_assets.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id")

BEFORE = "2026-01-01T00:00:00.000Z"
NOW = "2026-02-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox) -> None:
    for key in "abc":
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness=BEFORE)


def stamp(ids: Any, instant: Any = NOW, **arguments: Any) -> Any:
    operator = QlikUpdateDataFreshnessOperator(
        task_id="stamp", data_asset_ids=ids, data_freshness=instant, **arguments
    )
    return operator.execute({})


def freshness(sandbox: Sandbox) -> dict[str, str]:
    return {key: asset["dataFreshness"] for key, asset in sandbox.assets.items()}


@pytest.mark.parametrize(
    "instant",
    [
        NOW,
        "2026-02-01T01:00:00+01:00",
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 2, 1, 1, 0, 0, 999, tzinfo=timezone(timedelta(hours=1))),
        pendulum.datetime(2026, 2, 1),
    ],
)
def test_stamps(qlik_sandbox: Sandbox, instant: Any) -> None:
    result = stamp("a", instant)

    assert freshness(qlik_sandbox) == {"a": NOW, "b": BEFORE, "c": BEFORE}
    assert result["counts"] == {"updated": 1}
    assert result["results"][0]["changed_fields"] == ["dataFreshness"]


def test_default_is_the_moment_of_the_run(qlik_sandbox: Sandbox) -> None:
    operator = QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=["a"])
    before = pendulum.now("UTC")
    operator.execute({})

    stamped = datetime.fromisoformat(freshness(qlik_sandbox)["a"])
    assert before - timedelta(milliseconds=1) <= stamped <= pendulum.now("UTC")


def test_repeated_ids_count_once(qlik_sandbox: Sandbox) -> None:
    assert stamp(["a", "b", "a"])["counts"] == {"updated": 2}
    assert len(qlik_sandbox.journal.requests("PATCH")) == 2


def test_no_ids_is_no_failure(qlik_sandbox: Sandbox) -> None:
    assert stamp([]) == {"counts": {}, "results": []}


@pytest.mark.parametrize("instant", [BEFORE, "2025-01-01T00:00:00Z"])
def test_as_fresh_already_writes_nothing(qlik_sandbox: Sandbox, instant: str) -> None:
    assert stamp("a", instant)["counts"] == {"unchanged": 1}
    assert [entry.method for entry in qlik_sandbox.journal.requests()] == ["GET"]


@pytest.mark.parametrize("allowed", [True, "True"])
def test_goes_back_where_allowed(qlik_sandbox: Sandbox, allowed: Any) -> None:
    result = stamp("a", "2025-01-01T00:00:00Z", allow_backwards=allowed)

    assert result["counts"] == {"updated": 1}
    assert freshness(qlik_sandbox)["a"] == "2025-01-01T00:00:00.000Z"


def test_one_missing_does_not_keep_the_others_from_being_stamped(
    qlik_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, logger="airflow.task.operators"),
        pytest.raises(AirflowFailException, match="nowhere"),
    ):
        stamp(["a", "nowhere", "b"])

    assert freshness(qlik_sandbox) == {"a": NOW, "b": NOW, "c": BEFORE}


def test_all_missing_ones_are_named(qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match=r"2 data assets do not exist.*gone-1, gone-2"):
        stamp(["gone-1", "a", "gone-2"])

    assert freshness(qlik_sandbox)["a"] == NOW


def test_result_is_plain_json() -> None:
    result = stamp(["a", "b"])

    assert json.loads(json.dumps(result)) == result
    assert list(result) == ["counts", "results"]
    assert [entry["id"] for entry in result["results"]] == ["a", "b"]


AHEAD = "9999-12-31T00:00:00.000Z"


def test_an_instant_far_in_the_future_is_refused(qlik_sandbox: Sandbox) -> None:
    """All right stamps after it would change nothing."""
    with pytest.raises(QlikValidationError, match="more than a day in the future"):
        stamp("a", AHEAD)

    templated = QlikUpdateDataFreshnessOperator(
        task_id="t", data_asset_ids="a", data_freshness="{{ x }}", allow_future="{{ y }}"
    )
    templated.render_template_fields({"x": AHEAD, "y": False})
    with pytest.raises(AirflowFailException, match="more than a day in the future"):
        templated.execute({})
    assert not qlik_sandbox.journal.requests()


@pytest.mark.parametrize("allow_future", [True, "true"])
def test_an_instant_in_the_future_that_is_meant(qlik_sandbox: Sandbox, allow_future: Any) -> None:
    stamp("a", AHEAD, allow_future=allow_future)

    assert freshness(qlik_sandbox)["a"] == AHEAD
