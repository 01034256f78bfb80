"""What time it is at the tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pendulum


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
        try:
            told = parsedate_to_datetime(date)
            ahead = told.replace(tzinfo=told.tzinfo or UTC) - datetime.now(UTC)
        except (ValueError, OverflowError, TypeError):
            return
        self._ahead = ahead

    def now(self) -> pendulum.DateTime:
        """Return the time at the tenant."""
        return pendulum.instance(datetime.now(UTC) + self._ahead)
