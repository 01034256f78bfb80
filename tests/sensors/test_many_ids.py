"""More data assets than the rate limit allows to be read at once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowSensorTimeout
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

FRESH = "2026-02-01T00:00:00.000Z"
IDS = [f"id-{number}" for number in range(25)]

MakeSensor = Callable[..., QlikDataFreshnessSensor]


@pytest.fixture
def sensor(make_sensor: MakeSensor, qlik_sandbox: Sandbox, set_connection: Callable[..., str]) -> MakeSensor:
    """Make a sensor of 25 data assets, of which its user may read 9 in two seconds."""
    for key in IDS:
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness=FRESH)
    set_connection(
        host=qlik_sandbox.url,
        password=qlik_sandbox.api_key,
        extra={"tier1_limit": 10, "rate_limit_window": 2, "max_retries": 0},
    )

    def make(**arguments: Any) -> QlikDataFreshnessSensor:
        return make_sensor(**{"data_asset_ids": IDS, "timeout": 60, "poke_interval": 0.05, **arguments})

    return make


@pytest.fixture
def no_pacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poke does not wait for the short window of these tests."""
    module = "airflow_provider_qlik_assets.sensors.data_freshness"
    monkeypatch.setattr(f"{module}._LONGEST_PACING_SECONDS", 0.0)


def asked_for(sandbox: Sandbox) -> Counter[str]:
    return Counter(entry.path.rpartition("/")[2] for entry in sandbox.journal.requests())


@pytest.mark.usefixtures("no_pacing")
def test_pokes_go_on_where_the_last_one_stopped(sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    assert sensor().execute({})["freshness"] == dict.fromkeys(IDS, FRESH)
    assert asked_for(qlik_sandbox) == Counter(IDS)


@pytest.mark.usefixtures("no_pacing")
def test_the_order_of_the_result_is_that_of_the_ids(sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.touch("id-3", dataFreshness=None)
    task = sensor()
    while not task.poke({}):
        if len(qlik_sandbox.journal) >= len(IDS):
            qlik_sandbox.touch("id-3", dataFreshness=FRESH)

    task = sensor()
    assert list(task.execute({})["freshness"]) == IDS


def test_what_is_fresh_is_not_asked_for_again(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b", dataFreshness=FRESH)
    task = make_sensor(data_asset_ids=["b", "a"])
    assert not task.poke({})
    assert not task.poke({})
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert task.poke({})
    assert asked_for(qlik_sandbox) == {"a": 3, "b": 1}


def test_what_is_no_longer_fresh_is_asked_for_again(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    """With ``max_age``, each poke has another instant."""
    qlik_sandbox.add_asset(id="b", technicalName="b", dataFreshness=FRESH)
    task = make_sensor(data_asset_ids=["b", "a"])
    assert not task.poke({})
    task.fresh_since = "2026-02-02T00:00:00Z"
    qlik_sandbox.touch("a", dataFreshness="2026-02-03T00:00:00Z")

    assert not task.poke({})
    qlik_sandbox.touch("b", dataFreshness="2026-02-03T00:00:00Z")
    assert task.poke({})


def test_another_try_asks_for_all(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b", dataFreshness=FRESH)
    task = make_sensor(data_asset_ids=["b", "a"], timeout=0.2)
    for _ in range(2):
        with pytest.raises(AirflowSensorTimeout):
            task.execute({})

    assert asked_for(qlik_sandbox)["b"] == 2


def test_an_error_in_the_middle_loses_nothing(make_sensor: MakeSensor, qlik_sandbox: Sandbox) -> None:
    for key in "bc":
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness=FRESH)
    qlik_sandbox.add_fault(Fault(kind="status", status=503, skip=1))
    task = make_sensor(data_asset_ids=["b", "c"])

    assert not task.poke({})
    assert task.poke({})
    assert asked_for(qlik_sandbox) == {"b": 1, "c": 2}


@pytest.mark.usefixtures("no_pacing")
@pytest.mark.parametrize(
    ("arguments", "is_said"),
    [({"mode": "reschedule"}, True), ({"mode": "poke"}, False), ({"deferrable": True}, False)],
)
def test_what_starts_over_each_time_says_so(
    sensor: MakeSensor, caplog: pytest.LogCaptureFixture, capsys: Any, arguments: Any, is_said: bool
) -> None:
    with caplog.at_level(logging.INFO):
        assert not sensor(**arguments).poke({})

    log = caplog.text + capsys.readouterr().out
    assert ("9 of 25 data assets were read. In mode 'reschedule'" in log) is is_said
    assert not is_said or "Use deferrable=True" in log
