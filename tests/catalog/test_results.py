"""What was done, as plain JSON and as a line of a log."""

from __future__ import annotations

import json

import pytest

from airflow_provider_qlik_assets.catalog import Result, summarize
from airflow_provider_qlik_assets.client import DataAsset

ASSET = DataAsset.from_json(
    {
        "id": "a",
        "technicalName": "orders",
        "version": 3,
        "dataFreshness": "2026-01-31T06:30:00Z",
        "qlikAddedThis": {"x": [1]},
    }
)


def test_a_result_as_json() -> None:
    document = Result("a", "updated", ASSET, ("dataFreshness", "name")).to_json()

    assert json.loads(json.dumps(document)) == {
        "id": "a",
        "action": "updated",
        "version": 3,
        "changed_fields": ["dataFreshness", "name"],
        "data_asset": {
            "id": "a",
            "technicalName": "orders",
            "version": 3,
            "dataFreshness": "2026-01-31T06:30:00.000Z",
            "qlikAddedThis": {"x": [1]},
        },
    }


def test_a_missing_data_asset_as_json() -> None:
    assert Result("a", "missing").to_json() == {
        "id": "a",
        "action": "missing",
        "version": None,
        "changed_fields": [],
        "data_asset": None,
    }


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (Result("a", "missing"), "Data asset a missing"),
        (Result("a", "unchanged", ASSET), "Data asset a (orders) unchanged, version 3"),
        (
            Result("a", "updated", ASSET, ("name", "tags")),
            "Data asset a (orders) updated: name, tags, version 3",
        ),
        (Result("a", "deleted", DataAsset.from_json({"id": "a"})), "Data asset a deleted"),
        (
            Result("a", "unchanged", DataAsset.from_json({"id": "a", "version": 0})),
            "Data asset a unchanged, version 0",
        ),
    ],
)
def test_a_result_as_text(result: Result, text: str) -> None:
    assert str(result) == text


def test_a_summary_counts_the_actions_and_keeps_the_order() -> None:
    results = [Result("b", "deleted", ASSET), Result("a", "missing"), Result("c", "deleted")]

    assert summarize(iter(results)) == {
        "counts": {"deleted": 2, "missing": 1},
        "results": [result.to_row() for result in results],
    }


def test_a_summary_of_nothing() -> None:
    assert summarize([]) == {"counts": {}, "results": []}
