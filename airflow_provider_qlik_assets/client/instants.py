"""Instants as Qlik Cloud keeps them: UTC, to the millisecond, cut and not rounded."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import cast

import pendulum

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten

# RFC 3339, and a blank in place of the "T" as str() of a datetime writes it.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_instant(value: str | datetime) -> pendulum.DateTime:
    """Return an instant in UTC, cut to the millisecond.

    :param value: an RFC 3339 string, or a timezone-aware ``datetime``.
    :raises QlikValidationError: for anything else, a naive ``datetime`` or string included.
    """
    if isinstance(value, str):
        if not _RFC_3339.fullmatch(value):
            raise QlikValidationError(
                f"{shorten(value, 60)!r} is not an instant: give a date, a time and an offset from UTC, "
                "such as 2026-01-31T06:30:00Z."
            )
    elif not isinstance(value, datetime):
        raise QlikValidationError(
            f"An instant is a datetime or an RFC 3339 string, not {type(value).__name__}."
        )
    elif value.utcoffset() is None:
        raise QlikValidationError(
            f"{value.isoformat()} has no time zone and so names no instant: give an aware datetime."
        )
    try:
        if isinstance(value, str):
            instant = cast("pendulum.DateTime", pendulum.parse(value.upper().replace(" ", "T")))
        else:
            instant = pendulum.instance(value)
        # By the standard library: pendulum's own conversion fails in the first and the last year.
        instant = pendulum.instance(datetime.astimezone(instant, UTC))
    except (ValueError, OverflowError):
        raise QlikValidationError(
            f"{shorten(str(value), 60)!r} is not an instant: there is no such date or time."
        ) from None
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def format_instant(instant: datetime) -> str:
    """Return an instant as ``2026-01-31T06:30:00.000Z``.

    :param instant: a timezone-aware ``datetime``.
    :raises QlikValidationError: if it is naive.
    """
    return datetime.isoformat(parse_instant(instant).naive(), timespec="milliseconds") + "Z"
