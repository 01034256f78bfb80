"""A flag that ends work early: nothing more is sent, and nobody waits any longer."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_qlik_assets.client.errors import QlikStoppedError

_LONGEST_NAP_SECONDS = 0.25


class StopFlag:
    """Says that work is to end. It may be set from a signal handler: there is no lock in it.

    :param parent: a flag that sets this one as well.
    """

    def __init__(self, parent: StopFlag | None = None) -> None:
        self._parent = parent
        self._is_set = False
        self._has_begun = False

    @property
    def is_set(self) -> bool:
        """Whether the work is to end."""
        return self._is_set or (self._parent is not None and self._parent.is_set)

    def set(self) -> None:
        """End the work."""
        self._is_set = True

    def begin(self) -> None:
        """Begin work anew: what ended earlier work, or came after its end, does not end this.

        Only before work begins for the first time, a flag that is set already counts.
        """
        if self._has_begun:
            self._is_set = False
        self._has_begun = True

    def check(self, what: str) -> None:
        """Raise if the work is to end.

        :param what: what is not done then, for the message.
        :raises QlikStoppedError: it is.
        """
        if self.is_set:
            raise QlikStoppedError(f"The work was stopped: {what}.")

    def sleep(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Sleep for some seconds; the default sleeps no longer than until the flag is set.

        :param sleep: sleeps for some seconds.
        :raises QlikStoppedError: the work is to end.
        """
        longest = _LONGEST_NAP_SECONDS if sleep is time.sleep else seconds
        while seconds > 0:
            self.check("the wait was ended")
            sleep(min(seconds, longest))
            seconds -= longest
        self.check("the wait was ended")
