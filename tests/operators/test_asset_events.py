"""Stamping what the asset events that triggered a run name, with the event objects of the Airflow at hand."""

from __future__ import annotations

import logging
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.session import create_session
from sqlalchemy import delete, select
from sqlalchemy.event import listen, remove
from sqlalchemy.orm import Session

from airflow_provider_qlik_assets._compat import DAG, AirflowFailException, Asset, BaseOperator
from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.operators.data_assets import QlikUpdateDataFreshnessOperator
from airflow_provider_qlik_assets.sandbox import Sandbox

try:
    from airflow.models.asset import AssetEvent
    from airflow.sdk.api.datamodels._generated import (
        AssetAliasReferenceAssetEventDagRun,
        AssetReferenceAssetEventDagRun,
    )
    from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
    from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor
except ImportError:
    from airflow.models.dataset import DatasetEvent as AssetEvent
    from airflow.models.dataset import DatasetModel

    ON_AIRFLOW_3 = False
else:
    ON_AIRFLOW_3 = True

pytestmark = pytest.mark.usefixtures("qlik_conn_id")

BEFORE = "2026-01-01T00:00:00.000Z"
EVENT = datetime(2026, 2, 1, 6, 30, tzinfo=UTC)
STAMPED = "2026-02-01T06:30:00.000Z"
LATER = "2026-02-02T00:00:00.000Z"


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox) -> None:
    for key in "abc":
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness=BEFORE)


def made(
    extra: Any = None,
    *,
    asset_extra: dict[str, Any] | None = None,
    uri: str = "x://tables/orders",
    timestamp: datetime = EVENT,
    aliases: tuple[str, ...] = (),
) -> Any:
    """Return an event as Airflow gives it to a task; ``asset_extra`` is the extra of its asset."""
    if not ON_AIRFLOW_3:
        event = AssetEvent(extra=extra or {}, timestamp=timestamp)
        event.__dict__["dataset"] = DatasetModel(uri=uri, extra=asset_extra or {})
        return event
    return AssetEventDagRunReferenceResult(
        asset=AssetReferenceAssetEventDagRun(name=uri, uri=uri, extra=asset_extra or {}),
        extra=extra or {},
        source_task_id=None,
        source_dag_id=None,
        source_run_id=None,
        source_map_index=None,
        source_aliases=[AssetAliasReferenceAssetEventDagRun(name=name) for name in aliases],
        timestamp=timestamp,
    )


def context(*events: Any) -> Any:
    """Return the part of a task's context that tells of events."""
    if ON_AIRFLOW_3:
        return {"triggering_asset_events": TriggeringAssetEventsAccessor.build(events)}
    by_uri: dict[str, list[Any]] = {}
    for event in events:
        by_uri.setdefault(event.dataset.uri, []).append(event)
    return {"triggering_dataset_events": by_uri}


def operator(**arguments: Any) -> QlikUpdateDataFreshnessOperator:
    return QlikUpdateDataFreshnessOperator(task_id="stamp", from_asset_events=True, **arguments)


def stamp(*events: Any, **arguments: Any) -> Any:
    return operator(**arguments).execute(context(*events))


def named(key: str, extra: Any = None, **arguments: Any) -> Any:
    """Return an event whose asset names a data asset."""
    return made(extra, asset_extra={"qlik_data_asset_id": key}, **arguments)


def freshness(sandbox: Sandbox) -> dict[str, str]:
    return {key: asset["dataFreshness"] for key, asset in sandbox.assets.items()}


@pytest.mark.parametrize(
    ("event", "stamped"),
    [
        (made(asset_extra={"qlik_data_asset_id": "a"}), "a"),
        (made(asset_extra={"qlik_data_asset_ids": ["b", "c"]}), "bc"),
        (made(asset_extra={"qlik_data_asset_id": "a", "qlik_data_asset_ids": ["a", "b"]}), "ab"),
        (named("a", {"rows": 5}), "a"),
        (named("a", {"qlik_data_asset_id": "b"}), "a"),
        (named("a", {"qlik_data_asset_ids": ["b", "c"]}), "a"),
        (named("a", {"qlik_data_asset_ids": "not read"}), "a"),
    ],
)
def test_what_the_asset_of_an_event_names_is_stamped(qlik_sandbox: Sandbox, event: Any, stamped: str) -> None:
    result = stamp(event)

    assert freshness(qlik_sandbox) == {key: STAMPED if key in stamped else BEFORE for key in "abc"}
    assert result["counts"] == {"updated": len(stamped)}


@pytest.mark.parametrize(
    ("event", "stamped"),
    [
        (made({"qlik_data_asset_id": "a"}), "a"),
        (made({"qlik_data_asset_ids": ["a", "c"]}), "ac"),
        (made({"qlik_data_asset_id": "a", "qlik_data_asset_ids": ["a", "b"]}), "ab"),
        (named("a"), "a"),
        (named("a", {"rows": 5}), "a"),
        (named("a", {"qlik_data_asset_id": "b"}), "b"),
    ],
)
def test_what_the_extra_of_a_trusted_event_names_goes_before_its_asset(
    qlik_sandbox: Sandbox, event: Any, stamped: str
) -> None:
    result = stamp(event, trust_event_extra=True)

    assert freshness(qlik_sandbox) == {key: STAMPED if key in stamped else BEFORE for key in "abc"}
    assert result["counts"] == {"updated": len(stamped)}


def test_an_event_that_names_what_its_asset_does_not_is_counted_and_stamps_nothing(
    qlik_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may send an event of any asset could otherwise stamp any data asset."""
    with caplog.at_level(logging.INFO):
        assert stamp(made({"qlik_data_asset_id": "a"}), named("b"))["counts"] == {"updated": 1}

    assert freshness(qlik_sandbox) == {"a": BEFORE, "b": STAMPED, "c": BEFORE}
    assert "1 of them in its own extra, which counts only with trust_event_extra=True" in caplog.text


def test_the_instant_that_an_event_tells_goes_before_its_own(qlik_sandbox: Sandbox) -> None:
    stamp(named("a", {"data_freshness": "2026-01-31T01:00:00+01:00"}))

    assert freshness(qlik_sandbox)["a"] == "2026-01-31T00:00:00.000Z"


@pytest.mark.parametrize("newest", [0, 1, 2])
def test_of_several_events_the_newest_instant_counts(qlik_sandbox: Sandbox, newest: int) -> None:
    instants = [BEFORE, BEFORE, BEFORE]
    instants[newest] = LATER
    stamp(
        *(
            named("a", {"data_freshness": instant}, uri=f"x://tables/{number % 2}")
            for number, instant in enumerate(instants)
        )
    )

    assert freshness(qlik_sandbox)["a"] == LATER
    assert len(qlik_sandbox.journal.requests("PATCH")) == 1


def test_freshness_never_goes_back(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.touch("a", dataFreshness=LATER)

    assert stamp(named("a"))["counts"] == {"unchanged": 1}
    assert freshness(qlik_sandbox)["a"] == LATER


def test_running_again_writes_nothing(qlik_sandbox: Sandbox) -> None:
    events = [named(key) for key in "abc"]
    stamp(*events)
    qlik_sandbox.journal.clear()

    assert stamp(*events)["counts"] == {"unchanged": 3}
    assert qlik_sandbox.journal.requests("PATCH") == []


def test_events_that_name_none_are_counted(qlik_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        stamp(
            named("a"),
            made({"rows": 5}, uri="x://tables/b"),
            made(asset_extra={"qlik_data_asset_ids": []}, uri="x://tables/c"),
        )

    assert "Asset events: 3, of which 2 name no data asset; data assets to stamp: 1." in caplog.text
    assert freshness(qlik_sandbox) == {"a": STAMPED, "b": BEFORE, "c": BEFORE}


@pytest.mark.skipif(not ON_AIRFLOW_3, reason="Airflow 2 gives no events of aliases")
def test_an_event_that_came_through_an_alias_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        stamp(named("a", aliases=("loads", "all")))

    assert "Asset events: 1," in caplog.text


def test_what_a_watcher_reports_is_not_stamped(qlik_sandbox: Sandbox) -> None:
    """Otherwise a watcher of Qlik would report the stamp, and the stamp of that, without end."""
    payload = {"id": "a", "data_freshness": LATER}
    event = made({"from_trigger": True, "payload": payload}, asset_extra={"qlik_data_asset_id": "a"})

    assert stamp(event) == {"counts": {}, "results": []}
    assert qlik_sandbox.journal.requests() == []


@pytest.mark.parametrize("nothing", [{}, context()], ids=["no key", "no events"])
def test_a_run_without_events_succeeds_without_a_request(
    qlik_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, nothing: Any
) -> None:
    with caplog.at_level(logging.INFO):
        assert operator().execute(nothing) == {"counts": {}, "results": []}

    assert "not triggered by asset events" in caplog.text
    assert qlik_sandbox.journal.requests() == []


UNREADABLE_IDS: list[tuple[dict[str, Any], str]] = [
    ({"qlik_data_asset_id": "*"}, "name each data asset"),
    ({"qlik_data_asset_id": 5}, "not int"),
    ({"qlik_data_asset_id": ""}, "is not a valid id"),
    ({"qlik_data_asset_ids": "b"}, "qlik_data_asset_ids must be a list"),
    ({"qlik_data_asset_ids": ["b", None]}, "not NoneType"),
]
FAR_AHEAD = "9999-12-31T00:00:00Z"


@pytest.mark.parametrize(
    ("event", "arguments", "message"),
    [
        *((made(asset_extra=extra, uri="x://tables/bad"), {}, message) for extra, message in UNREADABLE_IDS),
        *(
            (made(extra, uri="x://tables/bad"), {"trust_event_extra": True}, message)
            for extra, message in UNREADABLE_IDS
        ),
        (named("b", {"data_freshness": "yesterday"}, uri="x://tables/bad"), {}, "not an instant"),
        *(
            (
                named("b", {"data_freshness": FAR_AHEAD}, uri="x://tables/bad"),
                arguments,
                "than a day in the future",
            )
            for arguments in ({}, {"allow_future": True}, {"trust_event_extra": True})
        ),
    ],
)
def test_an_event_that_cannot_be_read_fails_the_task_after_the_others_were_stamped(
    qlik_sandbox: Sandbox, event: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=f"x://tables/bad: .*{message}"):
        stamp(event, named("a"), **arguments)

    assert freshness(qlik_sandbox) == {"a": STAMPED, "b": BEFORE, "c": BEFORE}


def test_only_a_trusted_event_may_tell_a_future_that_is_allowed(qlik_sandbox: Sandbox) -> None:
    stamp(named("a", {"data_freshness": FAR_AHEAD}), trust_event_extra=True, allow_future=True)

    assert freshness(qlik_sandbox)["a"].startswith("9999-12-31")


def test_one_that_does_not_exist_fails_the_task_after_the_others_were_stamped(qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="gone"):
        stamp(made(asset_extra={"qlik_data_asset_ids": ["gone", "a"]}))

    assert freshness(qlik_sandbox)["a"] == STAMPED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_asset_ids": ["a"]}, "remove data_asset_ids and"),
        ({"data_freshness": LATER}, "remove data_asset_ids and"),
        ({"allow_backwards": "maybe"}, "allow_backwards must be true or false"),
        ({"trust_event_extra": "maybe"}, "trust_event_extra must be true or false"),
    ],
)
def test_arguments_that_contradict_the_events_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        operator(**arguments)


def test_without_ids_or_events_nothing_says_what_to_stamp() -> None:
    with pytest.raises(QlikValidationError, match="Give data_asset_ids or from_asset_events=True"):
        QlikUpdateDataFreshnessOperator(task_id="stamp")


def test_there_is_no_extra_to_trust_without_events() -> None:
    with pytest.raises(QlikValidationError, match="trust_event_extra requires from_asset_events"):
        QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=["a"], trust_event_extra=True)


# --- in a real run ---------------------------------------------------------------------------------------


class Publish(BaseOperator):
    """Tell in an asset event which data asset was loaded until when."""

    def execute(self, context: Any) -> None:
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {
                "qlik_data_asset_id": outlet.uri[-1],
                "data_freshness": LATER,
            }


@contextmanager
def runs_consume_all_events(dag_id: str) -> Iterator[None]:
    """Do what the scheduler does with a run that events trigger, and ``dag.test()`` does not."""
    from airflow.models.dagrun import DagRun  # noqa: PLC0415 - after the fixtures have set up the database

    name = "consumed_asset_events" if ON_AIRFLOW_3 else "consumed_dataset_events"

    def consume(session: Session, *ignored: Any) -> None:
        for run in session.new:
            if isinstance(run, DagRun) and run.dag_id == dag_id:
                with session.no_autoflush:
                    getattr(run, name).extend(session.scalars(select(AssetEvent)).all())

    listen(Session, "before_flush", consume)
    try:
        yield
    finally:
        remove(Session, "before_flush", consume)


def run_both(run_dag: Any, producer: DAG, consumer: DAG) -> None:
    """Run a DAG that updates assets, and then one that is scheduled on them."""
    if not ON_AIRFLOW_3:
        dag_class: Any = DAG
        dag_class.bulk_write_to_db([producer, consumer])
    assert run_dag(producer).state == "success"
    with runs_consume_all_events(consumer.dag_id):
        assert run_dag(consumer).state == "success"


@pytest.fixture(autouse=True)
def no_events_of_other_tests(request: pytest.FixtureRequest) -> None:
    """Forget the events in Airflow's database, if the test uses it."""
    if "airflow_db" in request.fixturenames:
        request.getfixturevalue("airflow_db")
        with create_session() as session:
            session.execute(delete(AssetEvent))


@pytest.mark.parametrize("trusted", [False, True])
def test_a_run_that_events_triggered(qlik_sandbox: Sandbox, run_dag: Any, trusted: bool) -> None:
    """The assets a and b name a and c, their events a and b."""
    tables = [
        Asset(uri=f"x://tables/{key}", extra={"qlik_data_asset_id": of})
        for key, of in {"a": "a", "b": "c"}.items()
    ]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG("loads", start_date=start, schedule=None) as loads:
        Publish(task_id="publish", outlets=tables)
    with DAG("keeps_fresh", start_date=start, schedule=tables) as keeps_fresh:
        operator(trust_event_extra=trusted)

    run_both(run_dag, loads, keeps_fresh)

    stamped = "ab" if trusted else "ac"
    assert freshness(qlik_sandbox) == {key: LATER if key in stamped else BEFORE for key in "abc"}


def test_the_example(qlik_sandbox: Sandbox, run_dag: Any) -> None:
    example = runpy.run_path(str(Path(__file__).parents[2] / "example_dags" / "freshness_from_assets.py"))
    for table in ("orders", "stores"):
        qlik_sandbox.add_asset(
            id=f"your-{table}-data-asset-id", technicalName=table, dataFreshness="2025-01-01T00:00:00Z"
        )
    started = datetime.now(UTC)

    run_both(run_dag, example["load_sales_dag"], example["freshness_from_assets_dag"])

    stamped = freshness(qlik_sandbox)
    assert stamped["your-orders-data-asset-id"] == "2026-01-31T06:30:00.000Z"
    assert datetime.fromisoformat(stamped["your-stores-data-asset-id"]) > started - timedelta(seconds=1)
