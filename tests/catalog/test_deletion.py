"""Deleting data assets by id: guarded, in batches, while others delete them, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import delete_data_assets
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikApiError,
    QlikCloudClient,
    QlikCloudError,
    QlikPermissionError,
    QlikServerError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox


class CrowdedClient(QlikCloudClient):
    """A client before whose each deletion somebody else deletes the next of some data assets."""

    others: list[str]

    def delete_data_assets(self, data_asset_ids: Any, last_look: Any = None) -> None:
        def look(ids: list[str], unanswered: int) -> list[str]:
            left: list[str] = last_look(ids, unanswered)
            if self.others:
                QlikCloudClient.delete_data_assets(self, [self.others.pop(0)])
            return left

        super().delete_data_assets(data_asset_ids, look)


@pytest.fixture
def client(qlik_sandbox: Sandbox) -> Iterator[CrowdedClient]:
    key = ApiKey(qlik_sandbox.api_key)
    with CrowdedClient(
        qlik_sandbox.url, key, rate_limit_store="memory:", sleep=lambda seconds: None
    ) as client:
        client.others = []
        yield client


def add(sandbox: Sandbox, *ids: str) -> list[str]:
    for data_asset_id in ids:
        sandbox.add_asset(id=data_asset_id, technicalName=data_asset_id)
    return list(ids)


def actions(results: list[Any]) -> list[tuple[str, str]]:
    return [(result.id, result.action) for result in results]


def batches(sandbox: Sandbox) -> list[list[str]]:
    return [entry.body["ids"] for entry in sandbox.journal.requests("DELETE")]


def test_deletes_and_returns_what_was_deleted(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    add(qlik_sandbox, "a", "b", "kept")

    results = delete_data_assets(client, ["b", "a"])

    assert actions(results) == [("b", "deleted"), ("a", "deleted")]
    assert [result.data_asset and result.data_asset.technical_name for result in results] == ["b", "a"]
    assert list(qlik_sandbox.assets) == ["kept"]
    assert batches(qlik_sandbox) == [["b", "a"]]


@pytest.mark.parametrize("unknown_delete_ids", ["refused", "ignored"])
def test_one_that_is_gone_already_is_missing(
    qlik_sandbox: Sandbox, client: CrowdedClient, unknown_delete_ids: Any
) -> None:
    qlik_sandbox.settings.unknown_delete_ids = unknown_delete_ids
    add(qlik_sandbox, "a")

    results = delete_data_assets(client, ["gone", "a"])

    assert actions(results) == [("gone", "missing"), ("a", "deleted")]
    assert results[0].data_asset is None
    assert batches(qlik_sandbox) == [["a"]]


@pytest.mark.parametrize("ids", [[], ["gone", "gone too"]])
def test_nothing_to_delete_sends_no_delete(
    qlik_sandbox: Sandbox, client: CrowdedClient, ids: list[str]
) -> None:
    assert actions(delete_data_assets(client, ids)) == [(name, "missing") for name in ids]
    assert batches(qlik_sandbox) == []


def test_repeated_ids_count_once(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    add(qlik_sandbox, "a", "b")

    results = delete_data_assets(client, ["a", "b", "a"], max_deletions=2)

    assert actions(results) == [("a", "deleted"), ("b", "deleted")]
    assert batches(qlik_sandbox) == [["a", "b"]]


def test_one_id_may_be_given_alone(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    add(qlik_sandbox, "abc")

    assert actions(delete_data_assets(client, "abc")) == [("abc", "deleted")]


def test_many_are_deleted_by_the_hundred(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    ids = add(qlik_sandbox, *(f"asset {number}" for number in range(250)))

    results = delete_data_assets(client, ids)

    assert actions(results) == [(data_asset_id, "deleted") for data_asset_id in ids]
    assert batches(qlik_sandbox) == [ids[:100], ids[100:200], ids[200:]]
    assert qlik_sandbox.assets == {}


def test_more_than_allowed_deletes_nothing(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    ids = add(qlik_sandbox, "a", "b", "c")

    with pytest.raises(
        QlikValidationError, match="3 data assets would be deleted, but max_deletions allows 2"
    ):
        delete_data_assets(client, ids, max_deletions=2)

    assert list(qlik_sandbox.assets) == ids
    assert batches(qlik_sandbox) == []


def test_the_guard_counts_only_what_exists(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    add(qlik_sandbox, "a")

    results = delete_data_assets(client, ["gone", "a", "gone too"], max_deletions=1)

    assert actions(results) == [("gone", "missing"), ("a", "deleted"), ("gone too", "missing")]


def test_a_dry_run_says_what_would_be_deleted(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    add(qlik_sandbox, "a")

    results = delete_data_assets(client, ["a", "gone"], dry_run=True)

    assert actions(results) == [("a", "deleted"), ("gone", "missing")]
    assert list(qlik_sandbox.assets) == ["a"]
    assert batches(qlik_sandbox) == []


def test_a_dry_run_is_guarded(qlik_sandbox: Sandbox, client: CrowdedClient) -> None:
    add(qlik_sandbox, "a")

    with pytest.raises(QlikValidationError, match="max_deletions allows 0"):
        delete_data_assets(client, ["a"], max_deletions=0, dry_run=True)


@pytest.mark.parametrize("bad", ["*", "", " ", ".", "..", "a\nb", 7, None])
def test_what_is_no_id_is_refused_before_any_request(
    qlik_sandbox: Sandbox, client: CrowdedClient, bad: Any
) -> None:
    add(qlik_sandbox, "a")

    with pytest.raises(QlikValidationError):
        delete_data_assets(client, ["a", bad])

    assert len(qlik_sandbox.journal) == 0


def test_the_others_are_deleted_if_one_disappears_meanwhile(
    qlik_sandbox: Sandbox, client: CrowdedClient
) -> None:
    ids = add(qlik_sandbox, "a", "b", "c")
    client.others = ["b"]

    results = delete_data_assets(client, ids)

    assert actions(results) == [("a", "deleted"), ("b", "missing"), ("c", "deleted")]
    assert qlik_sandbox.assets == {}


def test_the_others_are_deleted_if_one_after_the_other_disappears(
    qlik_sandbox: Sandbox, client: CrowdedClient
) -> None:
    ids = add(qlik_sandbox, "a", "b", "c", "d")
    client.others = ["b", "d", "a"]

    results = delete_data_assets(client, ids)

    assert actions(results) == [("a", "missing"), ("b", "missing"), ("c", "deleted"), ("d", "missing")]
    assert qlik_sandbox.assets == {}


def test_a_tenant_that_ignores_unknown_ids_is_asked_once(
    qlik_sandbox: Sandbox, client: CrowdedClient
) -> None:
    qlik_sandbox.settings.unknown_delete_ids = "ignored"
    ids = add(qlik_sandbox, "a", "b", "c")
    client.others = ["b"]

    delete_data_assets(client, ids)

    assert qlik_sandbox.assets == {}
    assert batches(qlik_sandbox) == [["b"], ids]


@pytest.mark.parametrize("unknown_delete_ids", ["refused", "ignored"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop"},
        {"kind": "reset"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "html", "status": 502},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}".strip(),
)
def test_a_deletion_whose_answer_is_lost_was_done(
    qlik_sandbox: Sandbox, client: CrowdedClient, fault: dict[str, Any], unknown_delete_ids: Any
) -> None:
    qlik_sandbox.settings.unknown_delete_ids = unknown_delete_ids
    ids = add(qlik_sandbox, "a", "b")
    qlik_sandbox.add_fault(Fault(method="DELETE", when="after", **fault))

    assert actions(delete_data_assets(client, ids)) == [("a", "deleted"), ("b", "deleted")]
    assert qlik_sandbox.assets == {}


def test_an_error_that_stays_is_raised_and_nothing_is_deleted(
    qlik_sandbox: Sandbox, client: CrowdedClient
) -> None:
    ids = add(qlik_sandbox, "a", "b")
    qlik_sandbox.add_fault(Fault(kind="status", status=503, method="DELETE", times=None))

    with pytest.raises(QlikCloudError, match="503"):
        delete_data_assets(client, ids)

    assert list(qlik_sandbox.assets) == ids


def test_a_user_without_the_right_is_refused(qlik_sandbox: Sandbox) -> None:
    ids = add(qlik_sandbox, "a")
    key = ApiKey(qlik_sandbox.read_only_api_key)

    with (
        QlikCloudClient(qlik_sandbox.url, key, rate_limit_store="memory:") as client,
        pytest.raises(QlikPermissionError),
    ):
        delete_data_assets(client, ids)

    assert list(qlik_sandbox.assets) == ids


def test_the_404_page_of_a_gateway_does_not_count_as_missing(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    ids = add(qlik_sandbox, "a")
    qlik_sandbox.add_fault(Fault(kind="html", status=404, method="GET"))

    with pytest.raises(QlikApiError, match=r"404.*Check that the host") as raised:
        delete_data_assets(client, ids)

    assert type(raised.value) is QlikApiError
    assert list(qlik_sandbox.assets) == ids


def test_the_404_page_of_a_gateway_does_not_count_as_deleted(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    ids = add(qlik_sandbox, "a")
    qlik_sandbox.add_fault(Fault(kind="status", status=500, method="DELETE"))
    qlik_sandbox.add_fault(Fault(kind="html", status=404, method="GET", skip=1))

    with pytest.raises(QlikServerError, match="may or may not have been made"):
        delete_data_assets(client, ids)

    assert list(qlik_sandbox.assets) == ids
