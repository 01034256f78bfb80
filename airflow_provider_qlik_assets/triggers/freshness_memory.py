"""What a watcher saw last, kept in Airflow's state store of the asset where there is one (Airflow 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from zlib import crc32

from airflow_provider_qlik_assets.catalog.edges import FreshnessEdges
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant

# Airflow asks for values below 64 KB; so they suffice for some 15,000 data assets.
_PARTS = 16
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 1.0


class FreshnessMemory:
    """Keep what :class:`~airflow_provider_qlik_assets.catalog.edges.FreshnessEdges` has seen.

    :param store: Airflow's state store of the one asset that is watched; ``None`` keeps nothing.
    :param edges: whose ``seen`` is kept.
    :param log: where to say that it does not work.
    """

    def __init__(self, store: Any, edges: FreshnessEdges, log: Any) -> None:
        self._store = store
        self._edges = edges
        self._log = log
        # What was seen of other data assets says nothing about these.
        self._scope = sorted(edges.stores) or "ids"
        self._is_scope_kept = False

    async def recall(self) -> None:
        """Take up what was seen last, if anything was kept."""
        if not await self._try_to(self._recall, "read"):
            self._store = None

    async def keep(self) -> None:
        """Keep what has changed since it was last kept."""
        if self._edges.updated and await self._try_to(self._keep, "kept"):
            self._edges.updated.clear()

    async def _try_to(self, access: Callable[[], Awaitable[None]], what: str) -> bool:
        for attempt in range(_ATTEMPTS if self._store is not None else 0):
            try:
                await access()
            except ValueError as error:  # it is the trigger of several assets
                self._log.warning("What was seen last cannot be %s: %s.", what, error)
                break
            except Exception as error:  # noqa: BLE001 - whatever it is may pass, and must not end the watch
                self._log.warning("What was seen last cannot be %s: %s.", what, error)
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2.0**attempt)
            else:
                return True
        return False

    async def _keep(self) -> None:
        wanted = self._parts(self._edges.updated if self._is_scope_kept else self._edges.ids)
        parts: dict[int, dict[str, str | None]] = {part: {} for part in sorted(wanted)}
        for key, freshness in self._edges.seen.items():
            if (part := _part(key)) in parts:
                parts[part][key] = format_instant(freshness) if freshness else None
        for part, entries in parts.items():
            await self._store.aset(_name(part), entries)
        if not self._is_scope_kept:
            await self._store.aset("scope", self._scope)
            self._is_scope_kept = True

    async def _recall(self) -> None:
        if await self._store.aget("scope") != self._scope:
            return
        kept: dict[str, str | None] = {}
        for part in sorted(self._parts(self._edges.ids)):
            kept.update(await self._store.aget(_name(part)) or {})
        for key, freshness in kept.items():
            if self._edges.ids is None or key in self._edges.ids:
                self._edges.seen[key] = parse_instant(freshness) if freshness else None
        self._edges.has_begun = self._is_scope_kept = True

    @staticmethod
    def _parts(ids: Iterable[str] | None) -> set[int]:
        return set(range(_PARTS)) if ids is None else {_part(key) for key in ids}


def _part(key: str) -> int:
    return crc32(key.encode()) % _PARTS


def _name(part: int) -> str:
    return f"data_freshness_{part}"
