from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import QlikApiError, QlikNotFoundError, QlikPermissionError
from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.watching.edges import FreshnessEdges
from airflow_provider_qlik_assets.watching.feed import Snapshot
from airflow_provider_qlik_assets.watching.state import AssetState

OLD = "2026-01-01T00:00:00.000Z"
NEW = "2026-02-01T00:00:00.000Z"

MISSING = QlikNotFoundError.without_request(404, "There is none.")
FORBIDDEN = QlikPermissionError.without_request(403, "You may not.")


def snapshot(
    freshness: Mapping[str, str | None],
    *,
    errors: dict[str, QlikApiError] | None = None,
    stores: tuple[str, ...] = ("s",),
) -> Snapshot:
    states = {
        key: AssetState(
            key, parse_instant(instant) if instant else None, 7, f"name of {key}", "s", None, None
        )
        for key, instant in freshness.items()
    }
    return Snapshot(states, errors or {}, frozenset(stores))


def found(edges: FreshnessEdges, *snapshots: Snapshot) -> list[list[tuple[Any, ...]]]:
    """Return, for each snapshot, the ids that changed with their freshness before and after."""
    changes = [[change.to_json() for change in edges.find(one)] for one in snapshots]
    return [[(entry["id"], entry["previous"], entry["data_freshness"]) for entry in one] for one in changes]


@pytest.mark.parametrize("watched", [{"ids": ["a"]}, {"stores": {"s"}}, {"stores": {"*"}}])
@pytest.mark.parametrize(
    ("before", "after"), [(OLD, NEW), (NEW, OLD), (None, NEW), (NEW, None)], ids=lambda text: str(text)[:7]
)
def test_a_change_counts_once(watched: dict[str, Any], before: str | None, after: str | None) -> None:
    edges = FreshnessEdges(**watched)
    snapshots = [snapshot({"a": instant}, stores=("s", "*")) for instant in (before, before, after, after)]

    assert found(edges, *snapshots) == [[], [], [("a", before, after)], []]


def test_a_change_tells_what_changed() -> None:
    edges = FreshnessEdges(ids=["a"])
    edges.find(snapshot({"a": OLD}))
    (change,) = edges.find(snapshot({"a": NEW}))

    assert change.to_json() == {
        "id": "a",
        "data_freshness": NEW,
        "previous": OLD,
        "version": 7,
        "technical_name": "name of a",
    }


def test_only_what_is_watched_counts() -> None:
    edges = FreshnessEdges(ids=["a"])

    assert found(edges, snapshot({"a": OLD, "b": OLD}), snapshot({"a": OLD, "b": NEW})) == [[], []]


def test_other_stores_do_not_count() -> None:
    edges = FreshnessEdges(stores={"other"})

    assert found(edges, *(snapshot({"a": one}, stores=("other",)) for one in (OLD, NEW))) == [[], []]


def test_a_new_data_asset_of_a_store_counts_once_it_is_stamped() -> None:
    edges = FreshnessEdges(stores={"s"})
    snapshots = [snapshot(one) for one in ({}, {"a": None, "b": NEW}, {"a": NEW, "b": NEW})]

    assert found(edges, *snapshots) == [[], [("b", None, NEW)], [("a", None, NEW)]]


def test_a_store_counts_from_when_it_was_read_completely() -> None:
    edges = FreshnessEdges(stores={"s"})
    incomplete = snapshot({"a": OLD}, stores=())

    assert found(edges, incomplete, snapshot({"a": OLD, "b": NEW})) == [[], []]
    assert edges.has_begun


def test_an_awaited_data_asset_counts_when_it_is_created() -> None:
    edges = FreshnessEdges(ids=["a"])
    snapshots = [snapshot({}), snapshot({}, errors={"a": MISSING}), snapshot({"a": NEW})]

    assert found(edges, *snapshots) == [[], [], [("a", None, NEW)]]


@pytest.mark.parametrize("again", [OLD, NEW])
def test_a_deletion_does_not_count(again: str) -> None:
    edges = FreshnessEdges(ids=["a"])
    deleted = snapshot({}, errors={"a": MISSING})
    expected = [] if again == OLD else [("a", OLD, NEW)]

    assert found(edges, snapshot({"a": OLD}), deleted, snapshot({"a": again})) == [[], [], expected]


def test_what_may_not_be_seen_is_not_taken_for_missing() -> None:
    edges = FreshnessEdges(ids=["a"])
    forbidden = snapshot({}, errors={"a": FORBIDDEN})

    assert found(edges, forbidden, snapshot({"a": NEW})) == [[], []]
    assert "You may not" in edges.problems(forbidden)


def test_problems_of_others_are_none_of_these() -> None:
    assert FreshnessEdges(stores={"s"}).problems(snapshot({}, errors={"t": FORBIDDEN})) == ""


def test_updated_names_what_has_to_be_kept() -> None:
    edges = FreshnessEdges(ids=["a", "b"])
    edges.find(snapshot({"a": OLD, "b": OLD}))
    edges.updated.clear()
    edges.find(snapshot({"a": NEW, "b": OLD}))

    assert edges.updated == {"a"}
