"""The guards of automatic deletions; no request is needed for them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import DataAsset, QlikValidationError


def tagged(name: str, *tags: str) -> DataAsset:
    return DataAsset(id=name, technical_name=name, tags=list(tags) or None)


def test_one_protected_tag_protects() -> None:
    guards = DeletionGuards(protected_tags=frozenset({"keep", "legal"}))
    free, kept, untagged = tagged("free", "sales"), tagged("kept", "sales", "keep"), tagged("untagged")

    assert guards.split([free, kept, untagged]) == ([free, untagged], [kept])


def test_without_protected_tags_none_is_protected() -> None:
    assert not DeletionGuards().protects(tagged("a", "keep"))


@pytest.mark.parametrize(
    ("deletions", "total"), [(0, 0), (0, 5), (1, 5), (20, 100), (100, 500), (100, 10_000)]
)
def test_what_both_limits_allow(deletions: int, total: int) -> None:
    DeletionGuards().check(deletions, total)


@pytest.mark.parametrize("percent", range(1, 101))
def test_exactly_the_share_is_allowed(percent: int) -> None:
    """0.29 * 100 is less than 29."""
    DeletionGuards(max_deletions=None, max_fraction=percent / 100).check(percent, 100)


@pytest.mark.parametrize(
    ("limits", "deletions", "total", "message"),
    [
        ({}, 101, 10_000, "101 data assets would be deleted, but max_deletions allows 100"),
        ({"max_deletions": 0}, 1, 100, "max_deletions allows 0"),
        ({}, 21, 100, r"21 of 100 data assets would be deleted \(21.0%\), but max_fraction allows 20.0%"),
        ({"max_fraction": 0}, 1, 100, "max_fraction allows 0.0%"),
        ({}, 1, 0, "max_fraction allows 20.0%"),
    ],
)
def test_too_many_are_refused(limits: dict[str, Any], deletions: int, total: int, message: str) -> None:
    with pytest.raises(QlikValidationError, match=f"{message}: nothing was deleted"):
        DeletionGuards(**limits).check(deletions, total)


def test_none_sets_no_limit() -> None:
    DeletionGuards(max_deletions=None, max_fraction=None).check(10_000, 10_000)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_deletions": -1}, "max_deletions must be a whole number, not -1"),
        ({"max_deletions": True}, "max_deletions must be a whole number, not True"),
        ({"max_deletions": "5"}, "max_deletions must be a whole number, not '5'"),
        ({"max_fraction": 20}, "max_fraction must be a fraction from 0 to 1, not 20"),
        ({"max_fraction": -0.1}, "max_fraction must be a fraction"),
        ({"max_fraction": float("nan")}, "max_fraction must be a fraction"),
        ({"max_fraction": True}, "max_fraction must be a fraction"),
        *(
            ({"already_deleted": number}, "already_deleted must be a whole number, not ")
            for number in (-5, float("nan"), 1.0, True, None, "1")
        ),
        *(
            ({"protected_tags": tags}, "protected_tags must be a list of non-empty strings, not ")
            for tags in ("keep", b"keep", {"keep": 1}, None, 5, frozenset({""}), [None], [["keep"]])
        ),
    ],
)
def test_guards_that_cannot_work_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        DeletionGuards(**limits)


@pytest.mark.parametrize("collect", [list, tuple, set, frozenset, iter])
def test_any_list_of_tags_protects(collect: Any) -> None:
    guards = DeletionGuards(protected_tags=collect(["keep", "legal"]))

    assert guards == DeletionGuards(protected_tags=frozenset({"legal", "keep"}))
    assert guards.protects(tagged("a", "keep"))
    assert guards.protects(tagged("a", "keep"))
