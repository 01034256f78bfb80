from __future__ import annotations

import pytest

from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.client.newest_first import is_newest_first


@pytest.mark.parametrize(
    ("seconds", "in_order"),
    [
        ([], True),
        ([1], True),
        ([2, 1], True),
        ([2, 2], True),
        ([1, 2], False),
        ([3, 1, 2], False),
        ([None], False),
        ([2, None], False),
    ],
)
def test_order(seconds: list[int | None], in_order: bool) -> None:
    instants = [parse_instant(f"2026-01-01T00:00:{second:02}Z") if second else None for second in seconds]
    assert is_newest_first(instants) is in_order
