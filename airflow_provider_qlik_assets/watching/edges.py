"""Find the data assets whose freshness changed since the last look."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pendulum

from airflow_provider_qlik_assets.client.errors import QlikNotFoundError
from airflow_provider_qlik_assets.client.instants import format_instant
from airflow_provider_qlik_assets.watching.feed import ALL_STORES, Snapshot
from airflow_provider_qlik_assets.watching.state import AssetState


@dataclass(frozen=True)
class FreshnessChange:
    """A change of the ``dataFreshness`` of a data asset.

    :param state: the data asset as it is.
    :param previous: its earlier ``dataFreshness``; ``None`` if it had none, or is new.
    """

    state: AssetState
    previous: pendulum.DateTime | None

    def to_json(self) -> dict[str, Any]:
        """Return ``{"id", "data_freshness", "previous", "version", "technical_name"}``."""
        freshness = self.state.freshness
        return {
            "id": self.state.id,
            "data_freshness": format_instant(freshness) if freshness else None,
            "previous": format_instant(self.previous) if self.previous else None,
            "version": self.state.version,
            "technical_name": self.state.technical_name,
        }


class FreshnessEdges:
    """Find changes of ``dataFreshness`` by comparing the current state with the one seen last.

    :param ids: ids of the data assets to watch; those never seen before are only recorded.
    :param stores: instead of ids, the data stores whose data assets are all watched; ``"*"`` for all. The
        first snapshot is only recorded; data assets that come later are new.
    """

    def __init__(self, *, ids: Iterable[str] | None = None, stores: Collection[str] = ()) -> None:
        self.ids = None if ids is None else tuple(ids)
        self.stores = frozenset(stores)
        self.seen: dict[str, pendulum.DateTime | None] = {}
        self.has_begun = False
        # Ids whose entry in ``seen`` has changed since this set was last emptied.
        self.updated: set[str] = set()
        self._reported: set[str] = set()
        self._looked_at: Snapshot | None = None

    def resume(self, seen: Mapping[str, pendulum.DateTime | None]) -> None:
        """Restore what was seen earlier, so that the next look finds the changes since then.

        Changes already found are not found again.

        :param seen: ``dataFreshness`` by id.
        """
        found = {key: self.seen[key] for key in self._reported}
        self.seen = {**seen, **found}
        self.has_begun = True
        self._looked_at = None

    def find(self, snapshot: Snapshot) -> list[FreshnessChange]:
        """Return the changes since the last call."""
        old, self._looked_at = self._looked_at, snapshot
        if old is not None and old.states is snapshot.states and old.errors is snapshot.errors:
            return []
        changes = self._among_ids(snapshot) if self.ids is not None else self._in_stores(snapshot)
        return [change for change in changes if change is not None]

    def problems(self, snapshot: Snapshot) -> str:
        """Return why some data assets cannot be watched, or an empty string."""
        errors = (snapshot.errors.get(key) for key in self.ids or sorted(self.stores))
        return " ".join(str(error) for error in errors if error is not None)

    def _among_ids(self, snapshot: Snapshot) -> Iterable[FreshnessChange | None]:
        for key in self.ids or ():
            if key in snapshot.states:
                yield self._compare(snapshot.states[key], is_new=False)
            elif isinstance(snapshot.errors.get(key), QlikNotFoundError) and key not in self.seen:
                self._note(key, None)

    def _in_stores(self, snapshot: Snapshot) -> Iterable[FreshnessChange | None]:
        if ALL_STORES not in snapshot.stores and not self.stores <= snapshot.stores:
            self._looked_at = None
            return
        for state in snapshot.states.values():
            if ALL_STORES in self.stores or state.store_id in self.stores:
                yield self._compare(state, is_new=self.has_begun)
        self.has_begun = True

    def _compare(self, state: AssetState, *, is_new: bool) -> FreshnessChange | None:
        """Return the change of a data asset that was seen before, or is new."""
        if state.id in self.seen and self.seen[state.id] == state.freshness:
            return None
        was_seen, previous = state.id in self.seen, self.seen.get(state.id)
        self._note(state.id, state.freshness)
        if was_seen or (is_new and state.freshness is not None):
            self._reported.add(state.id)
            return FreshnessChange(state, previous)
        return None

    def _note(self, key: str, freshness: pendulum.DateTime | None) -> None:
        self.seen[key] = freshness
        self.updated.add(key)
