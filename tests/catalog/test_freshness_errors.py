"""What stops a stamp, and what it leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import set_data_freshness
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness_of_many
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikAuthenticationError,
    QlikCloudClient,
    QlikCloudError,
    QlikNotFoundError,
    QlikPartialFailureError,
    QlikPermissionError,
    QlikValidationError,
    RateLimits,
)
from airflow_provider_qlik_assets.client.rate_limit.ledger import Decision, Quota
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Clock

EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"


@pytest.fixture
def client(qlik_sandbox: Sandbox) -> Iterator[QlikCloudClient]:
    for name in ("a", "b"):
        qlik_sandbox.add_asset(id=name, technicalName=name, dataFreshness=EARLY)
    with QlikCloudClient(
        qlik_sandbox.url, ApiKey(qlik_sandbox.api_key), rate_limit_store="memory:"
    ) as client:
        yield client


def stamps(sandbox: Sandbox) -> list[Any]:
    return [asset.get("dataFreshness") for asset in sandbox.assets.values()]


def test_no_instant_does_not_clear_the_freshness(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    nothing: Any = None

    with pytest.raises(QlikValidationError, match="not NoneType"):
        set_data_freshness(client, "a", nothing)

    assert stamps(qlik_sandbox) == [EARLY, EARLY]


def test_a_bad_id_stops_before_any_request(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikValidationError, match="name each data asset"):
        set_data_freshness_of_many(client, ["a", "*"], LATE)

    assert len(qlik_sandbox.journal) == 0


def test_a_refusal_of_one_does_not_keep_the_other_from_being_stamped(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=403, method="PATCH", path="/api/v1/data-assets/a"))

    with pytest.raises(QlikPermissionError):
        set_data_freshness_of_many(client, ["a", "b"], LATE)

    assert stamps(qlik_sandbox) == [EARLY, LATE]


def test_refused_credentials_stop_at_once(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=401, times=None))

    with pytest.raises(QlikAuthenticationError):
        set_data_freshness_of_many(client, [f"asset {number}" for number in range(100)], LATE)

    assert len(qlik_sandbox.journal) < 20


def test_failures_of_several_kinds_are_in_one_error(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=403, method="PATCH", path="/api/v1/data-assets/a"))

    with pytest.raises(QlikPartialFailureError, match=r"2 of 3 .*failed.*a: .*403.*gone: .*404") as raised:
        set_data_freshness_of_many(client, ["a", "gone", "b"], LATE)

    assert list(raised.value.failures) == ["a", "gone"]
    assert stamps(qlik_sandbox) == [EARLY, LATE]


def test_very_many_that_do_not_exist_make_a_short_message(client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError, match=r"200 data assets do not exist.* and 190 more") as raised:
        set_data_freshness_of_many(client, [f"gone {number}" for number in range(200)], LATE)

    assert len(str(raised.value)) < 400


def test_faults_on_the_way_leave_each_stamped_once(qlik_sandbox: Sandbox) -> None:
    """Each repetition of a lost answer is a new version, unless it is looked up first."""
    qlik_sandbox.reset()
    ids = [f"asset {number}" for number in range(60)]
    for name in ids:
        qlik_sandbox.add_asset(id=name, technicalName=name, dataFreshness=EARLY)
    for fault in ({"kind": "drop", "when": "after"}, {"kind": "drop"}, {"kind": "status", "status": 500}):
        qlik_sandbox.add_fault(Fault(method="PATCH", probability=0.2, times=None, **fault))
    with QlikCloudClient(
        qlik_sandbox.url,
        ApiKey(qlik_sandbox.api_key),
        rate_limit_store="memory:",
        sleep=lambda seconds: None,
    ) as client:
        for _ in range(50):
            try:
                results = set_data_freshness_of_many(client, ids, LATE)
            except QlikCloudError:
                continue
            break

    assert [result.id for result in results] == ids
    assert {asset["dataFreshness"] for asset in qlik_sandbox.assets.values()} == {LATE}
    assert {asset["version"] for asset in qlik_sandbox.assets.values()} == {1}


ODD_ANSWERS = [
    {"status": 503, "headers": {"Retry-After": "Mon, 20 Nov 9999999999 12:00:00 +0000"}},
    {"status": 200, "body": "[" * 100_000, "headers": {"Content-Type": "application/json"}},
    {"status": 206, "body": {"id": "asset 7", "version": 1}},
]


@pytest.mark.parametrize("odd", ODD_ANSWERS, ids=["date", "depth", "part"])
def test_an_odd_answer_for_one_does_not_keep_the_others_from_being_stamped(
    qlik_sandbox: Sandbox, odd: dict[str, Any]
) -> None:
    qlik_sandbox.reset()
    ids = [f"asset {number}" for number in range(60)]
    for name in ids:
        qlik_sandbox.add_asset(id=name, technicalName=name, dataFreshness=EARLY)
    qlik_sandbox.add_fault(Fault(kind="status", times=None, path="/api/v1/data-assets/asset%207", **odd))
    done: list[str] = []
    with (
        QlikCloudClient(
            qlik_sandbox.url,
            ApiKey(qlik_sandbox.api_key),
            rate_limit_store="memory:",
            sleep=lambda seconds: None,
        ) as client,
        pytest.raises(QlikCloudError),
    ):
        set_data_freshness_of_many(client, ids, LATE, on_result=lambda result: done.append(result.id))

    assert sorted(done, key=ids.index) == [name for name in ids if name != "asset 7"]
    assert [asset["id"] for asset in qlik_sandbox.assets.values() if asset["dataFreshness"] != LATE] == [
        "asset 7"
    ]


class GrantsOfTier2(MemoryStore):
    """A store that keeps the instants of its grants."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=self._read_clock)
        self.instants: list[float] = []
        self._time, self._last_read, self._one_by_one = clock, 0.0, threading.Lock()

    def _read_clock(self) -> float:
        self._last_read = self._time()
        return self._last_read

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Decision:
        with self._one_by_one:
            decision = super().ask(key, quota, ticket, max_wait)
            if decision.granted and "tier2" in key:
                self.instants.append(self._last_read)
            return decision


def test_threads_share_the_quota(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.reset()
    ids = [f"asset {number}" for number in range(50)]
    for name in ids:
        qlik_sandbox.add_asset(id=name, technicalName=name)
    clock = Clock()
    store = GrantsOfTier2(clock)
    with QlikCloudClient(
        qlik_sandbox.url,
        ApiKey(qlik_sandbox.api_key),
        rate_limit_store=store,
        rate_limits=RateLimits(tier2_limit=20, window=3.0),
        sleep=clock.sleep,
    ) as client:
        assert len(set_data_freshness_of_many(client, ids, LATE)) == 50

    assert len(store.instants) == len(qlik_sandbox.journal.requests("PATCH")) == 50
    for instant in store.instants:
        assert sum(instant - 3.0 < other <= instant for other in store.instants) <= 20


@pytest.mark.parametrize(
    "odd", [{}, {"version": "3"}, {"version": 1, "dataFreshness": "2018-10-30"}], ids=str
)
def test_many_odd_data_assets_in_a_row_do_not_keep_the_others_from_being_stamped(
    qlik_sandbox: Sandbox, odd: dict[str, Any]
) -> None:
    qlik_sandbox.reset()
    bad = [f"bad{number}" for number in range(10, 50)]
    for name in [*bad, "good"]:
        qlik_sandbox.add_asset(id=name, technicalName=name, dataFreshness=EARLY)
    for name in bad:
        document = {"id": name, "technicalName": name, "appType": "x", **odd}
        path = f"/api/v1/data-assets/{name}"
        qlik_sandbox.add_fault(Fault(kind="status", status=200, body=document, path=path, times=None))
    with (
        QlikCloudClient(qlik_sandbox.url, ApiKey(qlik_sandbox.api_key), rate_limit_store="memory:") as client,
        pytest.raises(QlikPartialFailureError, match="40 of 41"),
    ):
        set_data_freshness_of_many(client, [*bad, "good"], LATE)

    assert qlik_sandbox.assets["good"]["dataFreshness"] == LATE
