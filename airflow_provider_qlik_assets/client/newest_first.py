"""How far to read a newest-first listing to see every change.

Instants come from Qlik Cloud and are only compared with each other. The clock here only measures durations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import timedelta

import pendulum

# A change may become visible later than its own instant says: it may be committed later, or made by a server
# whose clock is behind.
_SETTLING_SECONDS = 10.0


class Watermark:
    """The instant up to which every change has been seen.

    ``newest`` is the latest modification seen, or ``None``. While other changes of about that time may still
    become visible, everything up to some seconds older must be read again.
    """

    def __init__(self) -> None:
        self.started = False
        self.newest: pendulum.DateTime | None = None
        self._seen_at = 0.0
        self._settled = False

    def is_above(self, modified: pendulum.DateTime | None) -> bool:
        """Return whether a modification is above the mark, so that those after it may be, too."""
        if self.newest is None or modified is None:
            return True
        margin = 0.0 if self._settled else _SETTLING_SECONDS
        return modified > self.newest - timedelta(seconds=margin)

    def is_before(self, instant: pendulum.DateTime | None) -> bool:
        """Return whether an instant is after the latest modification seen."""
        return self.newest is not None and instant is not None and instant > self.newest

    def advance(self, newest: pendulum.DateTime | None, began: float, ended: float) -> None:
        """Record that everything above the mark has been read.

        :param newest: the latest modification seen.
        :param began: when reading began, in seconds on a monotonic clock.
        :param ended: when it ended.
        """
        if not self.started or newest != self.newest:
            self.started, self.newest, self._seen_at, self._settled = True, newest, ended, False
        elif began - self._seen_at >= _SETTLING_SECONDS:
            self._settled = True


def is_newest_first(instants: Iterable[pendulum.DateTime | None]) -> bool:
    """Return whether all are known, and none is later than the one before it."""
    instants = list(instants)
    return all(
        one is not None and other is not None and one >= other
        for one, other in itertools.pairwise([*instants, *instants[-1:]])
    )
