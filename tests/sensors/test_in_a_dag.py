"""The sensor in real DAG runs, in every mode."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

RunDag = Callable[[DAG], Any]

pytestmark = pytest.mark.usefixtures("qlik_conn_id")

SINCE = "2026-01-31T06:30:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox) -> None:
    for key in "ab":
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness="2026-01-01T00:00:00Z")


@pytest.fixture
def fresh_after_the_first_poll(qlik_sandbox: Sandbox) -> Iterator[None]:
    """Make the data asset "a" fresh as soon as the sensor has seen that it is not."""
    over = threading.Event()

    def change() -> None:
        while not over.wait(0.02):
            if any(entry.status == 200 for entry in qlik_sandbox.journal.requests()):
                qlik_sandbox.touch("a", dataFreshness=FRESH)
                return

    thread = threading.Thread(target=change)
    thread.start()
    yield
    over.set()
    thread.join()


def dag_named(name: str, **arguments: Any) -> DAG:
    return DAG(name, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, **arguments)


@pytest.mark.parametrize(
    "mode",
    [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}],
    ids=["poke", "reschedule", "deferrable"],
)
@pytest.mark.usefixtures("fresh_after_the_first_poll")
@pytest.mark.slow
def test_waits(
    run_dag: RunDag, qlik_sandbox: Sandbox, request: pytest.FixtureRequest, mode: dict[str, Any]
) -> None:
    seen = []

    @task
    def look(found: dict[str, Any], instant: str) -> None:
        seen.append((found, instant))

    with dag_named(f"waits_{request.node.callspec.id}") as dag:
        wait: Any = QlikDataFreshnessSensor(
            task_id="wait", data_asset_ids="a", fresh_since=SINCE, poke_interval=1, timeout=30, **mode
        )
        look(wait.output, "{{ ti.xcom_pull('wait')['freshness']['a'] }}")

    assert run_dag(dag).state == "success"
    assert seen == [({"freshness": {"a": FRESH}, "waited_for": SINCE}, FRESH)]
    assert len(qlik_sandbox.journal.requests()) >= 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_mapped(run_dag: RunDag, qlik_sandbox: Sandbox, deferrable: bool) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    qlik_sandbox.touch("b", dataFreshness=FRESH)
    with dag_named(f"mapped_{deferrable}", params={"since": SINCE}) as dag:
        QlikDataFreshnessSensor.partial(
            task_id="wait", fresh_since="{{ params.since }}", deferrable=deferrable, timeout=5
        ).expand(data_asset_ids=["a", ["b"]])

    assert run_dag(dag).state == "success"
    assert len(qlik_sandbox.journal.requests()) == 2


@pytest.mark.usefixtures("fresh_after_the_first_poll")
def test_mapped_and_deferred(run_dag: RunDag) -> None:
    with dag_named("mapped_and_deferred") as dag:
        QlikDataFreshnessSensor.partial(
            task_id="wait", data_asset_ids=["a"], deferrable=True, poke_interval=1, timeout=30
        ).expand_kwargs([{"fresh_since": SINCE}, {"max_age": 1_000_000_000}])

    assert run_dag(dag).state == "success"


@pytest.mark.parametrize("deferrable", [False, True])
def test_missing_asset_fails_the_run(run_dag: RunDag, qlik_sandbox: Sandbox, deferrable: bool) -> None:
    with dag_named(f"missing_{deferrable}") as dag:
        QlikDataFreshnessSensor(
            task_id="wait", data_asset_ids="nowhere", fresh_since=SINCE, deferrable=deferrable, retries=3
        )

    assert run_dag(dag).state == "failed"
    assert len(qlik_sandbox.journal.requests()) == 1


def test_time_out_while_deferred_fails_the_run(run_dag: RunDag) -> None:
    with dag_named("deferred_time_out") as dag:
        QlikDataFreshnessSensor(
            task_id="wait", data_asset_ids="a", fresh_since=SINCE, deferrable=True, poke_interval=1, timeout=1
        )

    assert run_dag(dag).state == "failed"


def test_soft_fail_while_deferred_skips(run_dag: RunDag) -> None:
    with dag_named("deferred_soft_fail") as dag:
        QlikDataFreshnessSensor(
            task_id="wait",
            data_asset_ids="a",
            fresh_since=SINCE,
            deferrable=True,
            poke_interval=1,
            timeout=1,
            soft_fail=True,
        )

    (instance,) = run_dag(dag).get_task_instances()
    assert instance.state == "skipped"
