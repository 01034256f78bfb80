"""Instants as Qlik Cloud keeps them: in UTC, truncated to the millisecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import cast

import pendulum

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten

# RFC 3339, and a space in place of the "T" as str() of a datetime writes it.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII)

_FURTHEST_AHEAD = timedelta(days=1)


def parse_instant(value: str | datetime) -> pendulum.DateTime:
    """Return an instant in UTC, truncated to the millisecond.

    :param value: an RFC 3339 string, or a timezone-aware ``datetime``.
    :raises QlikValidationError: for anything else, including a naive ``datetime`` or string.
    """
    if isinstance(value, str):
        if not _RFC_3339.fullmatch(value):
            raise QlikValidationError(
                f"{shorten(value, 60)!r} is not an instant: give a date, a time and a UTC offset, "
                "such as 2026-01-31T06:30:00Z."
            )
    elif not isinstance(value, datetime):
        raise QlikValidationError(
            f"An instant must be a datetime or an RFC 3339 string, not {type(value).__name__}."
        )
    try:
        if isinstance(value, str):
            given: datetime = cast("pendulum.DateTime", pendulum.parse(value.upper().replace(" ", "T")))
        else:
            given = value
        # With the standard library, because pendulum's conversion fails in the first and the last year, and
        # uses the name of the zone instead of the offset of the datetime.
        utc = None if given.utcoffset() is None else datetime.astimezone(given, UTC)
        instant = None if utc is None else pendulum.instance(utc)
    except Exception:  # noqa: BLE001 - foreign time zones, and pandas' NaT, may raise anything
        raise QlikValidationError(
            f"{_shown(value)} is not an instant: there is no such date or time."
        ) from None
    if instant is None:
        raise QlikValidationError(f"{_shown(value)} has no time zone: give a timezone-aware datetime.")
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def parse_stamp(value: str | datetime, *, allow_future: bool = False) -> pendulum.DateTime:
    """Return an instant at which data can have changed: at most a day ahead, since clocks differ.

    :param value: see :func:`parse_instant`.
    :param allow_future: whether to accept later instants.
    :raises QlikValidationError: if it is not an instant, or too far in the future.
    """
    instant = parse_instant(value)
    # Compared by the standard library, because the difference may be thousands of years.
    if not allow_future and instant > datetime.now(UTC) + _FURTHEST_AHEAD:
        raise QlikValidationError(
            f"{format_instant(instant)} is more than a day in the future: data cannot have changed then, "
            "and no correct instant would replace it until that time. If it is intended, set "
            "allow_future=True (QlikUpdateDataFreshnessOperator, set_data_freshness)."
        )
    return instant


def format_instant(instant: datetime) -> str:
    """Return an instant as ``2026-01-31T06:30:00.000Z``.

    :param instant: a timezone-aware ``datetime``.
    :raises QlikValidationError: if it is naive.
    """
    return datetime.isoformat(parse_instant(instant).naive(), timespec="milliseconds") + "Z"


def short_instant(instant: datetime) -> str:
    """Return an instant for messages, to the minute where it has no seconds: ``2026-01-31T06:30Z``.

    :param instant: a timezone-aware ``datetime``.
    """
    return format_instant(instant).removesuffix("Z").removesuffix(".000").removesuffix(":00") + "Z"


def _shown(value: str | datetime) -> str:
    try:
        return repr(shorten(str(value), 60))
    except Exception:  # noqa: BLE001 - with a time zone that raises
        return f"A {type(value).__name__}"
