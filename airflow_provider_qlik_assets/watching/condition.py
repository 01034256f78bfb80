"""When to stop waiting for the freshness of data assets."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import pendulum

from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    QlikValidationError,
    first_few,
)
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant, short_instant
from airflow_provider_qlik_assets.client.validation import check_ids

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

Match = Literal["all", "any"]
Freshness = dict[str, pendulum.DateTime | None]
"""``dataFreshness`` by data asset id; ``None`` for one that was never stamped, or does not exist."""

_PROJECTIONS = ("id", "technicalName", "dataFreshness")

MISSING_ADVICE = "Set missing_ok=True to wait until it exists."


@dataclass(frozen=True)
class FreshnessCondition:
    """The condition that data assets have changed since an instant.

    :param data_asset_ids: ids of the data assets, at least one.
    :param fresh_since: the instant; a ``dataFreshness`` equal to it counts.
    :param match: whether ``all`` or ``any`` of them must be fresh.
    :param missing_ok: whether to also wait for data assets that do not exist.
    """

    data_asset_ids: tuple[str, ...]
    fresh_since: pendulum.DateTime
    match: Match = "all"
    missing_ok: bool = False

    @classmethod
    def parse(
        cls,
        data_asset_ids: str | Iterable[str],
        fresh_since: datetime | str,
        match: str = "all",
        missing_ok: bool = False,
    ) -> FreshnessCondition:
        """Return a condition from a caller's arguments.

        :raises QlikValidationError: naming what is wrong.
        """
        ids = tuple(check_ids(data_asset_ids))
        if not ids:
            raise QlikValidationError("data_asset_ids is empty: name at least one data asset to wait for.")
        return cls(ids, parse_instant(fresh_since), check_match(match), missing_ok)

    def read(
        self,
        client: QlikCloudClient,
        *,
        until: float = math.inf,
        earlier: Freshness | None = None,
        names: dict[str, str] | None = None,
    ) -> Freshness:
        """Return the freshness of the data assets, with one request each.

        :param until: time of the monotonic clock after which no further request is sent.
        :param earlier: what is known and need not be asked for. What is read is added to it, so that reading
            that ended early can go on where it stopped.
        :param names: technical names by id, for messages; what is read is added to it.
        :raises QlikNotFoundError: if one does not exist and that is not allowed.
        :raises QlikCloudError: if not all could be read in time.
        """
        freshness: Freshness = {} if earlier is None else earlier
        wanted = [data_asset_id for data_asset_id in self.data_asset_ids if data_asset_id not in freshness]
        for number, data_asset_id in enumerate(wanted):
            if number and time.monotonic() >= until:
                raise QlikCloudError(
                    f"Only {len(freshness)} of {len(self.data_asset_ids)} data assets were read in time."
                )
            try:
                asset = client.get_data_asset(data_asset_id, projections=_PROJECTIONS)
                freshness[data_asset_id] = asset.data_freshness
                if names is not None and asset.technical_name:
                    names[data_asset_id] = asset.technical_name
            except QlikNotFoundError:
                if not self.missing_ok:
                    raise
                freshness[data_asset_id] = None
        return {data_asset_id: freshness[data_asset_id] for data_asset_id in self.data_asset_ids}

    def fresh(self, freshness: Freshness) -> Freshness:
        """Return the freshness of the fresh data assets."""
        return {key: instant for key, instant in freshness.items() if self._is_fresh(instant)}

    def is_met(self, freshness: Freshness) -> bool:
        """Return whether the wait is over."""
        fresh = (self._is_fresh(freshness[data_asset_id]) for data_asset_id in self.data_asset_ids)
        return all(fresh) if self.match == "all" else any(fresh)

    def describe(self, freshness: Freshness, names: Mapping[str, str]) -> str:
        """Return the state of the wait as a clause: ``fresh: orders 2026-01-31T06:30Z``, or what is not.

        :param freshness: of all data assets.
        :param names: technical names by id, as far as they are known.
        """
        is_met = self.is_met(freshness)
        told = {key: instant for key, instant in freshness.items() if self._is_fresh(instant) == is_met}
        uses = Counter(names.get(key) for key in freshness)
        shown = []
        for key, instant in told.items():
            name = names.get(key)
            # A name is unique in its data store only.
            label = key if name is None else name if uses[name] == 1 else f"{name} ({key})"
            shown.append(f"{label} {short_instant(instant) if instant else 'never stamped'}")
        state = "fresh" if is_met else f"not fresh since {short_instant(self.fresh_since)}"
        return f"{state}: {first_few(shown)}"

    def _is_fresh(self, instant: pendulum.DateTime | None) -> bool:
        return instant is not None and instant >= self.fresh_since


def check_match(match: str) -> Match:
    """Return how many data assets must be fresh.

    :raises QlikValidationError: if it is neither ``all`` nor ``any``.
    """
    if match not in get_args(Match):
        raise QlikValidationError(f"match must be 'all' or 'any', not {match!r}.")
    return match  # type: ignore[return-value]


def freshness_to_json(freshness: Freshness) -> dict[str, str | None]:
    """Return freshness as plain JSON: ``{id: "2026-01-31T06:30:00.000Z"}``."""
    return {
        data_asset_id: format_instant(instant) if instant else None
        for data_asset_id, instant in freshness.items()
    }


def waiting_result(freshness: Freshness, condition: FreshnessCondition) -> dict[str, Any]:
    """Return the result of a wait as plain JSON: ``{"freshness": {id: instant}, "waited_for": instant}``."""
    return {
        "freshness": freshness_to_json(freshness),
        "waited_for": format_instant(condition.fresh_since),
    }
