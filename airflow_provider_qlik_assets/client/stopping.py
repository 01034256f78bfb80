"""A flag that ends work early: no more requests, no more waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_qlik_assets.client.errors import QlikStoppedError

_LONGEST_NAP_SECONDS = 0.25


class StopFlag:
    """Tells work to end. A signal handler may set it, because it uses no lock.

    :param parent: a flag that sets this one as well.
    """

    def __init__(self, parent: StopFlag | None = None) -> None:
        self._parent = parent
        self._is_set = False
        self._has_begun = False

    @property
    def is_set(self) -> bool:
        """Whether the work should end."""
        return self._is_set or (self._parent is not None and self._parent.is_set)

    def set(self) -> None:
        """End the work."""
        self._is_set = True

    def begin(self) -> None:
        """Start new work, which a flag set for earlier work does not end.

        Only before the first start, a flag that is already set counts.
        """
        if self._has_begun:
            self._is_set = False
        self._has_begun = True

    def check(self, what: str) -> None:
        """Raise an error if the work should end.

        :param what: what is not done, for the message.
        :raises QlikStoppedError: if the flag is set.
        """
        if self.is_set:
            raise QlikStoppedError(f"The work was stopped: {what}.")

    def sleep(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Sleep for some seconds; the default ``sleep`` ends when the flag is set.

        :param sleep: sleeps for some seconds.
        :raises QlikStoppedError: if the flag is set.
        """
        longest = _LONGEST_NAP_SECONDS if sleep is time.sleep else seconds
        while seconds > 0:
            self.check("the wait was ended")
            sleep(min(seconds, longest))
            seconds -= longest
        self.check("the wait was ended")
