"""The plan that makes a data store match the desired data assets, computed before any write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pendulum

from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards, check_guards
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.results import compact_row
from airflow_provider_qlik_assets.catalog.same_name import age, is_in_store
from airflow_provider_qlik_assets.client.errors import shorten
from airflow_provider_qlik_assets.client.instants import format_instant
from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation, changed_fields
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.validation import check_bool

_MOST_SHOWN_ROWS = 100
_MOST_SHOWN_CHANGES = 8
_SHOWN_VALUE_CHARACTERS = 60


@dataclass(frozen=True)
class FieldChange:
    """A value that changes.

    :param field: the API's name, of a property ``properties.<name>``.
    :param before: JSON value; ``None`` if it is not set.
    :param after: JSON value; ``None`` if it is cleared.
    """

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{shorten(self.field, _SHOWN_VALUE_CHARACTERS)}: {_shown(self.before)} → {_shown(self.after)}"


@dataclass(frozen=True)
class Update:
    """A data asset that is not as desired.

    :param actual: as it is.
    :param desired: the fields to set.
    :param changes: the values that differ.
    """

    actual: DataAsset
    desired: DataAsset
    changes: tuple[FieldChange, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """API names of the fields that change."""
        return tuple(sorted({change.field.split(".")[0] for change in self.changes}))


@dataclass(frozen=True)
class Conflict:
    """Several data assets with the same technical name: the oldest counts, the others are left alone.

    :param kept: the oldest.
    :param others: the younger ones.
    """

    kept: DataAsset
    others: tuple[DataAsset, ...]


@dataclass(frozen=True)
class Plan:
    """The changes that make a data store match the desired data assets.

    :param data_store_id: the data store.
    :param total: number of data assets in it.
    :param to_create: desired data assets that do not exist.
    :param to_update: data assets that differ from what is desired.
    :param unchanged: data assets that are as desired.
    :param to_delete: data assets that are not desired, if those are to be deleted.
    :param protected: data assets that would be deleted if they were not protected.
    :param conflicts: desired technical names that several data assets have.
    :param newest: when the newest of all data assets was created.
    :param looked_at: the tenant's time before the data store was read.
    """

    data_store_id: str
    total: int
    to_create: tuple[DataAsset, ...] = ()
    to_update: tuple[Update, ...] = ()
    unchanged: tuple[DataAsset, ...] = ()
    to_delete: tuple[DataAsset, ...] = ()
    protected: tuple[DataAsset, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    newest: pendulum.DateTime | None = None
    looked_at: pendulum.DateTime | None = field(default=None, compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.to_create or self.to_update or self.to_delete)

    @property
    def names_to_write(self) -> list[str]:
        """Technical names of the data assets to create or update."""
        assets = [*self.to_create, *(update.desired for update in self.to_update)]
        return [asset.technical_name or "" for asset in assets]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        return {
            "data_store_id": self.data_store_id,
            "total": self.total,
            "to_create": [desired.to_json() for desired in self.to_create],
            "to_update": [
                {
                    **_reference(update.actual),
                    "changes": [
                        {"field": change.field, "before": change.before, "after": change.after}
                        for change in update.changes
                    ],
                }
                for update in self.to_update
            ],
            "unchanged": [_reference(asset) for asset in self.unchanged],
            "to_delete": [_reference(asset) for asset in self.to_delete],
            "protected": [_reference(asset) for asset in self.protected],
            "conflicts": [
                {
                    "technical_name": conflict.kept.technical_name,
                    "kept": conflict.kept.id,
                    "left_alone": [asset.id for asset in conflict.others],
                }
                for conflict in self.conflicts
            ],
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the results of carrying out the plan, as far as they are known."""
        rows = [
            compact_row(None, "created", desired, changed_fields=sorted(desired.to_request()))
            for desired in self.to_create
        ]
        rows += [
            compact_row(update.actual.id, "updated", update.actual, changed_fields=update.fields)
            for update in self.to_update
        ]
        rows += [compact_row(asset.id, "unchanged", asset) for asset in self.unchanged]
        rows += [compact_row(asset.id, "deleted", asset) for asset in self.to_delete]
        rows += [compact_row(asset.id, "skipped", asset) for asset in self.left_alone]
        return rows

    @property
    def left_alone(self) -> tuple[DataAsset, ...]:
        """Data assets that are protected, or younger than another one with the same name."""
        return (*self.protected, *(asset for conflict in self.conflicts for asset in conflict.others))

    def table(self) -> str:
        """Return the plan as text for a log: a summary, and a line for each of the first 100 changes."""
        lines = list(self._lines(_MOST_SHOWN_ROWS + 1))
        if len(lines) > _MOST_SHOWN_ROWS:
            all_lines = (
                len(self.to_create) + len(self.to_update) + len(self.to_delete)
                + len(self.protected) + len(self.conflicts)
            )  # fmt: skip
            lines[_MOST_SHOWN_ROWS:] = [f"  ... and {all_lines - _MOST_SHOWN_ROWS:,} more"]
        return "\n".join([self.summary(), *lines])

    def summary(self) -> str:
        """Return the plan as one line."""
        parts = [
            (len(self.to_create), "to create"),
            (len(self.to_update), "to update"),
            (len(self.unchanged), "unchanged"),
            (len(self.to_delete), "to delete"),
            (len(self.protected), "protected"),
            (len(self.conflicts), "in conflict"),
        ]
        shown = ", ".join(f"{number:,} {what}" for number, what in parts if number)
        return f"Plan for data store {shorten(self.data_store_id)}: {shown or 'no data asset is desired'}."

    def __str__(self) -> str:
        return self.table()

    def _lines(self, most: int) -> Iterator[str]:
        """Yield the lines of the table, as many as are needed."""
        rows = (
            *(("create", desired, "") for desired in self.to_create[:most]),
            *(("update", update.actual, _shown_changes(update)) for update in self.to_update[:most]),
            *(("delete", asset, _shown_freshness(asset)) for asset in self.to_delete[:most]),
            *(("protected", asset, _shown(asset.tags)) for asset in self.protected[:most]),
            *(("conflict", conflict.kept, _shown_conflict(conflict)) for conflict in self.conflicts[:most]),
        )
        width = max((len(_shown_name(asset)) for _, asset, _ in rows[:most]), default=0)
        for action, asset, details in rows[:most]:
            yield f"  {action:<9}  {_shown_name(asset):<{width}}  {details}".rstrip()


def make_plan(
    data_store_id: str,
    desired_assets: Iterable[DataAsset],
    actual: Iterable[DataAsset],
    *,
    delete_unlisted: bool = False,
    guards: DeletionGuards | None = None,
) -> Plan:
    """Return the changes that make a data store match the desired data assets.

    :param data_store_id: the data store.
    :param desired_assets: as :func:`.parse_desired` returns them.
    :param actual: all data assets of the data store.
    :param delete_unlisted: whether to delete what is not desired.
    :param guards: what protects data assets from that; how many may be deleted is not checked here.
    """
    check_bool(delete_unlisted, "delete_unlisted")
    guards = DeletionGuards() if guards is None else check_guards(guards)
    by_name = {desired.technical_name: desired for desired in desired_assets}
    named: dict[str | None, list[DataAsset]] = {}
    unlisted: list[DataAsset] = []
    total, newest = 0, None
    for asset in actual:
        if not is_in_store(asset, data_store_id):
            continue
        total += 1
        if asset.created_time is not None and (newest is None or asset.created_time > newest):
            newest = asset.created_time
        if asset.technical_name in by_name:
            named.setdefault(asset.technical_name, []).append(asset)
        elif delete_unlisted:
            unlisted.append(asset)
    to_create, to_update, unchanged, conflicts = [], [], [], []
    for name, desired in by_name.items():
        if name not in named:
            to_create.append(desired)
            continue
        oldest, *younger = sorted(named[name], key=age)
        if younger:
            conflicts.append(Conflict(oldest, tuple(younger)))
        operations = overlay(oldest, desired)
        if operations:
            to_update.append(Update(oldest, desired, tuple(_changes(oldest, operations))))
        else:
            unchanged.append(oldest)
    # It is unknown whether a data asset is desired if the user may not see its name.
    nameless = [asset for asset in unlisted if asset.technical_name is None]
    to_delete, protected = guards.split(asset for asset in unlisted if asset.technical_name is not None)
    return Plan(
        data_store_id=data_store_id,
        total=total,
        to_create=tuple(to_create),
        to_update=tuple(to_update),
        unchanged=tuple(unchanged),
        to_delete=tuple(to_delete),
        protected=(*protected, *nameless),
        conflicts=tuple(conflicts),
        newest=newest,
    )


def _changes(actual: DataAsset, operations: Sequence[JsonPatchOperation]) -> Iterator[FieldChange]:
    document = actual.to_json()
    for operation in operations:
        (field,) = changed_fields([operation])
        before, _, key = document.get(field), None, operation.path.partition("/properties/")[2]
        if key:
            key = key.replace("~1", "/").replace("~0", "~")
            field, before = f"properties.{key}", (before or {}).get(key)
        yield FieldChange(field, before, operation.value if operation.op == "add" else None)


def _reference(asset: DataAsset) -> dict[str, Any]:
    return {"id": id_of(asset), "technical_name": asset.technical_name, "version": asset.version}


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    text = json.dumps(value, ensure_ascii=False)
    return shorten(text if text.isprintable() else json.dumps(value), _SHOWN_VALUE_CHARACTERS)


def _shown_name(asset: DataAsset) -> str:
    name = asset.technical_name or asset.id or "?"
    return shorten(name if name.isprintable() else repr(name), _SHOWN_VALUE_CHARACTERS)


def _shown_id(asset: DataAsset) -> str:
    return shorten(str(asset.id), _SHOWN_VALUE_CHARACTERS)


def _shown_changes(update: Update) -> str:
    shown = [str(change) for change in update.changes[:_MOST_SHOWN_CHANGES]]
    more = len(update.changes) - len(shown)
    return "; ".join(shown + ([f"and {more} more"] if more else []))


def _shown_freshness(asset: DataAsset) -> str:
    fresh = f"fresh as of {format_instant(asset.data_freshness)}" if asset.data_freshness else "never stamped"
    return f"id {_shown_id(asset)}, {fresh}"


def _shown_conflict(conflict: Conflict) -> str:
    others = ", ".join(_shown_id(asset) for asset in conflict.others[:_MOST_SHOWN_CHANGES])
    return f"{_shown_id(conflict.kept)} is the oldest and counts; delete the others: {others}"
