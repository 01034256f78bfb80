"""How instants are read and kept."""

import pytest

from airflow_provider_qlik_assets.sandbox.documents import instant_at, normal_instant


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000Z"),
        ("2024-02-29t12:00:00z", "2024-02-29T12:00:00.000Z"),
        ("2024-02-29 12:00:00Z", "2024-02-29T12:00:00.000Z"),
        ("2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00.000Z"),
        ("2024-01-01T00:30:00-00:45", "2024-01-01T01:15:00.000Z"),
        ("2024-01-01T00:00:00.1Z", "2024-01-01T00:00:00.100Z"),
        ("2024-01-01T00:00:00.1239999999Z", "2024-01-01T00:00:00.123Z"),
        ("2024-01-01T23:59:59.9999Z", "2024-01-01T23:59:59.999Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_instants_are_kept_in_utc_and_cut_to_the_millisecond(sent: str, kept: str) -> None:
    assert normal_instant(sent) == kept


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00Z",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:61Z",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00Z ",
        "٢٠٢٤-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "1704067200",
    ],
)
def test_anything_but_an_rfc_3339_instant_is_refused(sent: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        normal_instant(sent)


def test_timestamps_are_written_like_instants() -> None:
    assert instant_at(1704067200.9999) == "2024-01-01T00:00:00.999Z"
