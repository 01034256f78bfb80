"""Delete data assets whose source data has not changed for a long time, by rules and with guards."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import pendulum

from airflow_provider_qlik_assets.catalog.deletion import LastLook, delete_listed, unchanged_since
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards, check_guards
from airflow_provider_qlik_assets.catalog.name_pattern import LONGEST_PATTERN, NamePattern
from airflow_provider_qlik_assets.catalog.results import Result, ignore_result
from airflow_provider_qlik_assets.client.errors import QlikValidationError, first_few, shorten
from airflow_provider_qlik_assets.client.instants import format_instant
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.validation import check_bool, check_id, check_texts

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

Undated = Literal["skip", "use_last_modified"]
Rule = Literal["dataFreshness", "lastModifiedTime"]


@dataclass(frozen=True)
class Staleness:
    """Why a data asset counts as stale.

    :param rule: API name of the field that says so.
    :param instant: its value.
    :param age_seconds: its age at the time of the clean-up.
    """

    rule: Rule
    instant: datetime
    age_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return ``{"rule", "instant", "age_seconds"}``."""
        return {
            "rule": self.rule,
            "instant": format_instant(self.instant),
            "age_seconds": self.age_seconds,
        }

    def __str__(self) -> str:
        return f"{self.rule} is {format_instant(self.instant)}, {self.age_seconds / 86_400:.1f} days ago"


@dataclass(frozen=True)
class CleanUpResult(Result):
    """What was done to one data asset by a clean-up.

    :param why: why it was selected.
    """

    why: Staleness | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`.Result.to_json` does, and ``"why"``: ``{"rule", "instant", "age_seconds"}``."""
        return {**super().to_json(), "why": self.why.to_json() if self.why else None}

    def to_row(self) -> dict[str, Any]:
        """Return what :meth:`.Result.to_row` does, and ``"why"``."""
        return {**super().to_row(), "why": self.why.to_json() if self.why else None}

    def describe(self, *, dry_run: bool = False) -> str:
        """Return what :meth:`.Result.describe` does, and why."""
        return f"{super().describe(dry_run=dry_run)}: {self.why}"


@dataclass(frozen=True)
class CleanUpRules:
    """Which data assets a clean-up selects: those that meet all rules.

    :param data_store_ids: ids of the data stores that hold them.
    :param stale_after: age in seconds beyond which a data asset is stale.
    :param undated: whether to ``skip`` a data asset whose ``dataFreshness`` was never set, or to
        ``use_last_modified``, its ``lastModifiedTime``.
    :param app_types: select only those of one of these types; ``None`` allows all.
    :param tags: select only those that have one of these tags; ``None`` allows all.
    :param owner_ids: select only those of one of these owners; ``None`` allows all.
    :param technical_name_pattern: select only those whose whole technical name matches this regular
        expression, as :class:`.NamePattern` understands it; ``None`` allows all.
    :param now: the time for which ages are computed, unless it is earlier at the tenant.
    :raises QlikValidationError: if a rule cannot be used, or can never select anything.
    """

    data_store_ids: Sequence[str]
    stale_after: float
    undated: Undated = "skip"
    app_types: Collection[str] | None = None
    tags: Collection[str] | None = None
    owner_ids: Collection[str] | None = None
    technical_name_pattern: str | None = None
    now: datetime = field(default_factory=lambda: pendulum.now("UTC"))

    def __post_init__(self) -> None:
        check_data_stores(self.data_store_ids)
        check_stale_after(self.stale_after)
        check_undated(self.undated)
        for name in ("app_types", "tags", "owner_ids"):
            object.__setattr__(self, name, check_selector(getattr(self, name), name))
        check_pattern(self.technical_name_pattern)
        if not isinstance(self.now, datetime) or self.now.tzinfo is None:
            raise QlikValidationError(
                f"now must be an instant with a time zone, not {shorten(repr(self.now), 60)}."
            )

    @functools.cached_property
    def _pattern(self) -> NamePattern | None:
        return NamePattern(self.technical_name_pattern) if self.technical_name_pattern is not None else None

    def staleness(self, asset: DataAsset) -> Staleness | None:
        """Return why a data asset is selected, or ``None`` if it is not."""
        rule: Rule = "dataFreshness"
        instant: datetime | None = asset.data_freshness
        if instant is None and self.undated == "use_last_modified":
            rule, instant = "lastModifiedTime", asset.last_modified_time
        if instant is None or not self._allows(asset):
            return None
        age = (self.now - instant).total_seconds()
        return Staleness(rule, instant, age) if age > self.stale_after else None

    def _allows(self, asset: DataAsset) -> bool:
        pattern = self._pattern
        return (
            # The tenant should list only these, but a deletion must not rely on it.
            (asset.store_id is None or asset.store_id in self.data_store_ids)
            and (self.app_types is None or asset.app_type in self.app_types)
            and (self.tags is None or not set(self.tags).isdisjoint(asset.tags or ()))
            and (self.owner_ids is None or asset.owner_id in self.owner_ids)
            and (pattern is None or pattern.matches(asset.technical_name or ""))
        )


def clean_up_data_assets(
    client: QlikCloudClient,
    rules: CleanUpRules,
    guards: DeletionGuards,
    *,
    dry_run: bool = False,
    on_result: Callable[[CleanUpResult], None] = ignore_result,
) -> list[CleanUpResult]:
    """Delete the stale data assets of some data stores, the stalest first.

    The data stores are listed completely. Right before each deletion, after its wait for the quota, what it
    would delete is read again. Only what has not been changed since is deleted.

    :param rules: which data assets to select.
    :param guards: which of them must survive, and how many may be deleted at most; fractions are of all data
        assets of the data stores.
    :param dry_run: only return what would be done, after one listing.
    :param on_result: called with each result as soon as it is known.
    :return: ``deleted``, ``missing`` for what was deleted in the meantime, and ``skipped`` for what was
        changed in the meantime; in the order of completion.
    :raises QlikValidationError: if the guards forbid the deletion; nothing was deleted.
    :raises QlikNotFoundError: if one of the data stores does not exist.
    """
    if not isinstance(rules, CleanUpRules):
        raise QlikValidationError(f"rules must be CleanUpRules, not {type(rules).__name__}.")
    check_guards(guards)
    check_bool(dry_run, "dry_run")
    assets = client.list_data_assets(rules.data_store_ids)
    first = list(itertools.islice(assets, 1))
    # The first answer tells the time at the tenant. A clock that is ahead would let fresh ones look stale.
    rules = replace(rules, now=min(rules.now, client.server_now()))
    look = _look(itertools.chain(first, assets), rules, guards)
    logger.info("%s", look)
    guards.check(len(look.selected), look.total)
    results: list[CleanUpResult] = []

    def note(result: Result) -> None:
        asset = result.data_asset
        why = (rules.staleness(asset) if asset else None) or look.selected[result.id][1]
        results.append(CleanUpResult(result.id, result.action, asset, why=why))
        on_result(results[-1])

    if dry_run:
        for data_asset_id, (asset, _) in look.selected.items():
            note(Result(data_asset_id, "deleted", asset))
        return results
    selected = [asset for asset, _ in look.selected.values()]
    last_look = LastLook(client, rules.data_store_ids, look.total, allows=unchanged_since(selected))
    delete_listed(client, selected, last_look=last_look, on_result=note)
    return results


@dataclass(frozen=True)
class _Look:
    """What one listing of the data stores showed.

    :param total: number of all data assets.
    :param selected: those that may be deleted and why, by id, the stalest first.
    :param protected: number of those that are stale, too, but protected.
    """

    total: int
    selected: dict[str, tuple[DataAsset, Staleness]]
    protected: int

    def __str__(self) -> str:
        stalest = [
            f"{asset.technical_name or asset_id} ({why})" for asset_id, (asset, why) in self.selected.items()
        ]
        shown = f": {first_few(stalest)}" if stalest else ""
        return (
            f"{len(self.selected)} of {self.total} data assets are stale, "
            f"not counting {self.protected} protected by a tag{shown}."
        )


def _look(assets: Iterable[DataAsset], rules: CleanUpRules, guards: DeletionGuards) -> _Look:
    """Select from all data assets of the data stores."""
    total = 0
    selected: list[tuple[str, DataAsset, Staleness]] = []
    protected = 0
    for asset in assets:
        data_asset_id = check_id(asset.id)
        total += 1
        why = rules.staleness(asset)
        if why is None:
            continue
        if guards.protects(asset):
            protected += 1
        else:
            selected.append((data_asset_id, asset, why))
    selected.sort(key=lambda entry: (-entry[2].age_seconds, entry[0]))
    return _Look(total, {data_asset_id: (asset, why) for data_asset_id, asset, why in selected}, protected)


def check_data_stores(data_store_ids: Any) -> None:
    """Check that each data store is named.

    :raises QlikValidationError: if none is named, or ``*`` is among them.
    """
    # A generator would be used up by these checks.
    if isinstance(data_store_ids, str | bytes | Mapping) or not isinstance(data_store_ids, Collection):
        raise QlikValidationError(
            f"data_store_ids must be a list of ids, not {shorten(repr(data_store_ids), 60)}."
        )
    if not data_store_ids:
        raise QlikValidationError("data_store_ids is empty: name at least one data store to clean up.")
    for data_store_id in data_store_ids:
        if check_id(data_store_id) == "*":
            raise QlikValidationError("'*' would clean up every data store: name each data store.")


def check_stale_after(stale_after: Any) -> None:
    """Check the age beyond which a data asset is stale.

    :raises QlikValidationError: if it is not a number of seconds above 0.
    """
    if (
        isinstance(stale_after, bool)
        or not isinstance(stale_after, int | float)
        or not 0 < stale_after < math.inf
    ):
        raise QlikValidationError(
            f"stale_after must be a number of seconds above 0, not {shorten(repr(stale_after), 60)}."
        )


def check_undated(undated: Any) -> None:
    """Check the policy for data assets that were never stamped.

    :raises QlikValidationError: if it is unknown.
    """
    if undated not in get_args(Undated):
        raise QlikValidationError(
            f"undated must be 'skip' or 'use_last_modified', not {shorten(repr(undated), 60)}."
        )


def check_selector(values: Any, name: str) -> frozenset[str] | None:
    """Return a selector; ``None`` if it is not given.

    :raises QlikValidationError: if it is empty, which could be meant as "all" or as "none"; or if it is a
        text, whose parts would be selected, too.
    """
    if values is None:
        return None
    texts = check_texts(values, name)
    if not texts:
        raise QlikValidationError(f"{name} is empty: leave it out to select all, or name at least one.")
    return texts


def check_pattern(pattern: str | None) -> None:
    """Check a pattern of technical names.

    :raises QlikValidationError: if it is not a regular expression that can be matched in linear time.
    """
    if pattern is None:
        return
    if not isinstance(pattern, str) or not pattern or len(pattern) > LONGEST_PATTERN:
        raise QlikValidationError(
            f"technical_name_pattern must be a regular expression of 1 to {LONGEST_PATTERN} characters."
        )
    try:
        NamePattern(pattern)
    except ValueError as error:
        raise QlikValidationError(
            f"technical_name_pattern {shorten(repr(pattern), 100)} is not a supported regular expression: "
            f"{error}. It must match the whole name; to select all names that start with tmp_, use 'tmp_.*'."
        ) from None
