"""Instants: UTC, cut to the millisecond, never guessed."""

from __future__ import annotations

import importlib.resources
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qlik_assets.client import QlikValidationError
from airflow_provider_qlik_assets.client.instants import (
    format_instant,
    parse_instant,
    parse_stamp,
    short_instant,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-31T06:30:00Z", "2026-01-31T06:30:00.000Z"),
        ("2026-01-31t06:30:00z", "2026-01-31T06:30:00.000Z"),
        ("2026-01-31 06:30:00+00:00", "2026-01-31T06:30:00.000Z"),
        ("2026-01-31T06:30:00-00:00", "2026-01-31T06:30:00.000Z"),
        ("2026-01-31T06:30:00.1Z", "2026-01-31T06:30:00.100Z"),
        ("2026-01-31T06:30:00.1239Z", "2026-01-31T06:30:00.123Z"),
        ("2026-01-31T06:30:00.999999999Z", "2026-01-31T06:30:00.999Z"),
        ("2026-01-31T23:59:59.9999999+05:30", "2026-01-31T18:29:59.999Z"),
        ("2026-01-31T06:30:00-23:59", "2026-02-01T06:29:00.000Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        (datetime(2026, 1, 31, 6, 30, 0, 999_999, UTC), "2026-01-31T06:30:00.999Z"),
        (datetime(2026, 1, 31, 6, 30, tzinfo=ZoneInfo("Asia/Kolkata")), "2026-01-31T01:00:00.000Z"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), "2026-10-25T00:30:00.000Z"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1), "2026-10-25T01:30:00.000Z"),
        (pendulum.datetime(2026, 1, 31, 6, 30, tz="Europe/Stockholm"), "2026-01-31T05:30:00.000Z"),
    ],
)
def test_an_instant_is_in_utc_cut_to_the_millisecond(value: Any, expected: str) -> None:
    assert format_instant(parse_instant(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2026-01-31",
        "2026-01-31T06:30Z",
        "2026-01-31T06:30:00",
        "2026-01-31T06:30:00+0100",
        "2026-01-31T06:30:00.Z",
        "2026-01-31T06:30:00Z\n",
        " 2026-01-31T06:30:00Z",
        "20260131T063000Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T06:60:00Z",
        "2026-01-31T06:30:61Z",
        "2026-01-31T06:30:00+24:00",
        "2026-01-31T06:30:00+05:75",
        "2026-01-31T06:30:00+99:99",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "٢٠٢٦-01-31T06:30:00Z",
        "now",
        "{{ ts }}",
        datetime(2026, 1, 31),  # noqa: DTZ001 - the subject
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        date(2026, 1, 31),
        1769841000,
        True,
        None,
        b"2026-01-31T06:30:00Z",
        "x" * 10_000_000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_anything_else_is_refused_in_short(value: Any) -> None:
    with pytest.raises(QlikValidationError) as caught:
        parse_instant(value)

    assert len(str(caught.value)) < 250


class Localized(tzinfo):
    """One offset of a zone, as pytz attaches it: its name is the zone's, its offset that of the datetime."""

    zone = "Europe/Berlin"
    key = "Europe/Berlin"

    def __init__(self, minutes: int) -> None:
        self._offset = timedelta(minutes=minutes)

    def utcoffset(self, when: datetime | None) -> timedelta:
        return self._offset

    def dst(self, when: datetime | None) -> timedelta:
        return self._offset - timedelta(hours=1)

    def tzname(self, when: datetime | None) -> str:
        return "CEST"


class FixedOffset(Localized):
    """As pytz.FixedOffset: a zone without a name."""

    zone = key = None  # type: ignore[assignment]

    def dst(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, when: datetime | None) -> str:
        return None  # type: ignore[return-value]


class Raises(FixedOffset):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise RuntimeError("no such zone")


class NotATime(datetime):
    """As pandas.NaT: a datetime by its type only."""

    def utcoffset(self) -> timedelta:
        raise ValueError("NaTType does not support utcoffset")

    def __str__(self) -> str:
        return "NaT"


def zone_without_key() -> ZoneInfo:
    data = importlib.resources.files("tzdata.zoneinfo.Europe").joinpath("Berlin").read_bytes()
    return ZoneInfo.from_file(BytesIO(data))


REPEATED = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - the hour that Berlin has twice


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (REPEATED.replace(tzinfo=Localized(120)), "2026-10-25T00:30:00.000Z"),
        (REPEATED.replace(tzinfo=Localized(60)), "2026-10-25T01:30:00.000Z"),
        (REPEATED.replace(tzinfo=FixedOffset(60)), "2026-10-25T01:30:00.000Z"),
        (REPEATED.replace(tzinfo=zone_without_key()), "2026-10-25T00:30:00.000Z"),
        (REPEATED.replace(tzinfo=zone_without_key(), fold=1), "2026-10-25T01:30:00.000Z"),
        (REPEATED.replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=1), "2026-10-25T01:30:00.000Z"),
        (pendulum.datetime(2026, 10, 25, 2, 30, tz="Europe/Berlin", fold=0), "2026-10-25T00:30:00.000Z"),
    ],
)
def test_the_offset_is_what_the_datetime_says(when: datetime, expected: str) -> None:
    assert format_instant(parse_instant(when)) == expected


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        (NotATime(2026, 1, 1, tzinfo=UTC), "'NaT'"),
        (REPEATED.replace(tzinfo=Raises(0)), "A datetime"),
        (datetime(1, 1, 1, tzinfo=FixedOffset(60)), "'0001-01-01 00:00:00"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=FixedOffset(-60)), "'9999-12-31 23:59:00"),
    ],
)
def test_a_datetime_that_is_no_time_is_named(when: datetime, shown: str) -> None:
    with pytest.raises(QlikValidationError, match=f"^{shown}.* is not an instant"):
        parse_instant(when)


def test_a_stamp_is_not_far_in_the_future() -> None:
    now = datetime.now(UTC)

    assert parse_stamp(now + timedelta(hours=23)) > now
    assert parse_stamp("9999-12-31T23:59:59Z", allow_future=True).year == 9999
    for late in (now + timedelta(hours=25), "9999-12-31T23:59:59Z"):
        with pytest.raises(QlikValidationError, match=r"more than a day in the future.*allow_future=True"):
            parse_stamp(late)


def test_a_very_long_fraction_is_cut() -> None:
    assert parse_instant(f"2026-01-31T06:30:00.{'1' * 100_000}Z").microsecond == 111_000


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
        max_value=datetime(9998, 12, 31),  # noqa: DTZ001
        timezones=st.timezones(),
    )
)
def test_parsing_what_was_formatted_gives_the_same_instant(when: datetime) -> None:
    instant = parse_instant(when)

    assert parse_instant(format_instant(instant)) == instant
    # Not when - instant: pendulum has another idea of hours that a zone skips.
    assert timedelta(0) <= when.astimezone(UTC) - instant < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        ("2026-01-31T06:30:00Z", "2026-01-31T06:30Z"),
        ("2026-01-31T00:00:00+02:00", "2026-01-30T22:00Z"),
        ("2026-01-31T06:30:15Z", "2026-01-31T06:30:15Z"),
        ("2026-01-31T06:30:00.120Z", "2026-01-31T06:30:00.120Z"),
    ],
)
def test_an_instant_is_short_in_messages_and_nothing_is_cut_off(instant: str, shown: str) -> None:
    assert short_instant(parse_instant(instant)) == shown
