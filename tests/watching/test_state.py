from __future__ import annotations

import pytest

from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.watching.state import AssetState


def state(version: int | None, second: int | None) -> AssetState:
    modified = None if second is None else parse_instant(f"2026-01-01T00:00:{second:02}Z")
    return AssetState("a", None, version, None, None, None, modified)


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ((1, 1), (2, 2), True),
        ((0, 1), (1, 2), True),
        ((1, 2), (2, 2), True),
        ((2, 2), (2, 2), False),
        ((2, 2), (1, 1), False),
        # Deleted and created again, or by a server whose clock is behind.
        ((1, 3), (2, 2), False),
        ((3, 1), (2, 2), False),
        ((None, 1), (2, 2), False),
        ((1, None), (2, 2), False),
        ((1, 1), (None, 2), False),
        ((1, 1), (2, None), False),
    ],
)
def test_what_comes_from_a_replica_that_lags_behind_is_older(
    one: tuple[int | None, int | None], other: tuple[int | None, int | None], older: bool
) -> None:
    assert state(*one).is_older_than(state(*other)) is older


def test_nothing_is_older_than_nothing() -> None:
    assert not state(1, 1).is_older_than(None)
