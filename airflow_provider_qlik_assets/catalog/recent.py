"""How far down a listing, the last modified first, one has to read to have seen every change.

Instants are Qlik Cloud's own and only compared with each other; the clock here measures durations alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

import pendulum

from airflow_provider_qlik_assets.client.models import DataAsset

# A change may become visible later than the instant that it bears says: it is committed after that, or was
# made by a server whose clock is behind.
_SETTLING_SECONDS = 10.0


class AssetState(NamedTuple):
    """What a feed keeps of a data asset.

    :param modified: when it was last modified.
    """

    id: str
    freshness: pendulum.DateTime | None
    version: int | None
    technical_name: str | None
    store_id: str | None
    created: pendulum.DateTime | None
    modified: pendulum.DateTime | None

    @classmethod
    def of(cls, asset: DataAsset) -> AssetState:
        """Return the state of a data asset that was read with the fields of :data:`STATE_FIELDS`."""
        return cls(
            id=asset.id or "",
            freshness=asset.data_freshness,
            version=asset.version,
            technical_name=asset.technical_name,
            store_id=asset.store_id,
            created=asset.created_time,
            modified=asset.last_modified_time,
        )

    def is_older_than(self, other: AssetState | None) -> bool:
        """Return whether this was read from a replica that lags behind."""
        return bool(
            other
            and self.version is not None
            and other.version is not None
            and self.version < other.version
            and self.modified is not None
            and other.modified is not None
            and self.modified <= other.modified
        )


STATE_FIELDS = (
    "id",
    "dataFreshness",
    "version",
    "technicalName",
    "dataStoreInfo",
    "createdTime",
    "lastModifiedTime",
)


class Watermark:
    """The instant up to which every change was seen.

    ``newest`` is the latest modification seen, ``None`` if there was none. As long as others of about that
    time may still become visible, all that is less than some seconds older has to be read again.
    """

    def __init__(self) -> None:
        self.started = False
        self.newest: pendulum.DateTime | None = None
        self._seen_at = 0.0
        self._settled = False

    def is_above(self, state: AssetState) -> bool:
        """Return whether a state is above the mark, so that what follows in the listing may be, too."""
        if self.newest is None or state.modified is None:
            return True
        margin = 0.0 if self._settled else _SETTLING_SECONDS
        return state.modified > self.newest - timedelta(seconds=margin)

    def is_created_after(self, state: AssetState) -> bool:
        """Return whether a data asset was created after the latest modification seen."""
        return self.newest is not None and state.created is not None and state.created > self.newest

    def advance(self, newest: pendulum.DateTime | None, began: float, ended: float) -> None:
        """Take note that everything above was read.

        :param newest: the latest modification seen.
        :param began: when the reading began, in seconds on a clock that never goes back.
        :param ended: when it ended.
        """
        if not self.started or newest != self.newest:
            self.started, self.newest, self._seen_at, self._settled = True, newest, ended, False
        elif began - self._seen_at >= _SETTLING_SECONDS:
            self._settled = True


def is_in_order(states: Iterable[AssetState]) -> bool:
    """Return whether states are sorted, the last modified first."""
    instants = [state.modified for state in states]
    return all(
        one is not None and other is not None and one >= other
        for one, other in itertools.pairwise([*instants, *instants[-1:]])
    )
