"""Keep what a watcher saw last in Airflow's state store of the asset, if there is one (Airflow 3.3).

Several watchers of an asset share its store. The names of their entries hold a hash of the connection and of
what is watched, so that each keeps its own: ``data_freshness_<hash>`` says that there is something, and
``data_freshness_<hash>_<0 to 15>`` hold it. A watcher of other data assets or data stores starts from
scratch.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any
from zlib import crc32

from airflow_provider_qlik_assets.client.errors import shorten
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.watching.edges import FreshnessEdges

# Airflow recommends values below 64 KB, so these are enough for some 15,000 data assets.
_PARTS = 16
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 1.0


class SeenStore:
    """Keep what :class:`~airflow_provider_qlik_assets.watching.edges.FreshnessEdges` has seen.

    :param store: Airflow's state store of the one asset that is watched; ``None`` keeps nothing.
    :param qlik_conn_id: the connection of the watcher.
    :param edges: the object whose ``seen`` is kept.
    :param log: logger for problems.
    """

    def __init__(self, store: Any, qlik_conn_id: str, edges: FreshnessEdges, log: Any) -> None:
        self._store = store
        self._edges = edges
        self._log = log
        watched = [qlik_conn_id, sorted(edges.ids or ()), sorted(edges.stores)]
        self._name = f"data_freshness_{sha256(json.dumps(watched).encode()).hexdigest()[:16]}"
        self._recall_attempts = _ATTEMPTS
        self._is_recalled = self._has_entries = False

    async def recall(self) -> None:
        """Restore what was seen last, if anything was kept, unless that was done before.

        While it cannot be read, the watch continues without it. Nothing is kept in the meantime either,
        because that would overwrite it.
        """
        if not self._is_recalled:
            self._is_recalled = await self._try_to(self._recall, "read", self._recall_attempts)
            self._recall_attempts = 1

    async def keep(self) -> None:
        """Keep what has changed since it was last kept."""
        if self._is_recalled and self._edges.updated and await self._try_to(self._keep, "kept", _ATTEMPTS):
            self._edges.updated.clear()

    async def _try_to(self, access: Callable[[], Awaitable[None]], what: str, attempts: int) -> bool:
        for attempt in range(attempts if self._store is not None else 0):
            try:
                await access()
            except ValueError as error:  # the trigger has several assets
                self._log.warning("The state seen last cannot be %s: %s.", what, shorten(str(error)))
                self._store = None
                break
            except Exception as error:  # noqa: BLE001 - it may be temporary, and must not end the watch
                self._log.warning(
                    "The state seen last cannot be %s; trying again: %s.", what, shorten(str(error))
                )
                if attempt < attempts - 1:
                    await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2.0**attempt)
            else:
                return True
        return False

    async def _keep(self) -> None:
        wanted = self._parts(self._edges.updated if self._has_entries else self._edges.ids)
        parts: dict[int, dict[str, str | None]] = {part: {} for part in sorted(wanted)}
        for key, freshness in self._edges.seen.items():
            if (part := _part(key)) in parts:
                parts[part][key] = format_instant(freshness) if freshness else None
        for part, entries in parts.items():
            await self._store.aset(f"{self._name}_{part}", entries)
        if not self._has_entries:
            await self._store.aset(self._name, True)
            self._has_entries = True

    async def _recall(self) -> None:
        if not await self._store.aget(self._name):
            return
        kept: dict[str, str | None] = {}
        for part in sorted(self._parts(self._edges.ids)):
            kept.update(await self._store.aget(f"{self._name}_{part}") or {})
        self._edges.resume({key: parse_instant(text) if text else None for key, text in kept.items()})
        self._has_entries = True

    @staticmethod
    def _parts(ids: Iterable[str] | None) -> set[int]:
        return set(range(_PARTS)) if ids is None else {_part(key) for key in ids}


def _part(key: str) -> int:
    return crc32(key.encode()) % _PARTS
