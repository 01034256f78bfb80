"""What time it is at the tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pendulum

# No certificate is valid where a clock is further off.
_MOST_DIFFERENCE = timedelta(days=366)


def parse_date(date: str | None) -> datetime | None:
    """Return the time that the ``Date`` header of an answer tells; ``None`` if it cannot be right."""
    try:
        told = parsedate_to_datetime(date or "")
        told = told.replace(tzinfo=told.tzinfo or UTC)
        return told if abs(told - datetime.now(UTC)) <= _MOST_DIFFERENCE else None
    except (ValueError, OverflowError, TypeError):
        return None


class ServerClock:
    """The tenant's time of day as of its last answer, to within two seconds; this host's before that."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._ahead = timedelta(0)

    def note(self, date: str | None) -> None:
        """Take the time from an answer.

        :param date: its ``Date`` header.
        """
        if date is None or date == self._text:
            return
        self._text = date
        if (told := parse_date(date)) is not None:
            self._ahead = told - datetime.now(UTC)

    def now(self) -> pendulum.DateTime:
        """Return the time at the tenant."""
        return pendulum.instance(datetime.now(UTC) + self._ahead)
