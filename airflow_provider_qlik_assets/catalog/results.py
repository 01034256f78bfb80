"""What was done to data assets, as plain JSON for XCom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_qlik_assets.client.errors import first_few, shorten
from airflow_provider_qlik_assets.client.models import DataAsset

Action = Literal["created", "updated", "unchanged", "skipped", "deleted", "missing"]


@dataclass(frozen=True)
class Result:
    """What was done to one data asset.

    :param id: its id.
    :param action: what was done.
    :param data_asset: the data asset afterwards, or before it was deleted; ``None`` if it is missing.
    :param changed_fields: API names of the fields that were changed.
    """

    id: str
    action: Action
    data_asset: DataAsset | None = None
    changed_fields: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return ``{"id", "action", "version", "changed_fields", "data_asset"}``."""
        asset = self.data_asset
        return {
            "id": self.id,
            "action": self.action,
            "version": asset.version if asset else None,
            "changed_fields": list(self.changed_fields),
            "data_asset": asset.to_json() if asset else None,
        }

    def to_row(self) -> dict[str, Any]:
        """Return the same without the data asset, unless it was deleted: see :func:`compact_row`."""
        return compact_row(self.id, self.action, self.data_asset, changed_fields=self.changed_fields)

    def describe(self, *, dry_run: bool = False) -> str:
        """Return what was done, or would be, as a clause.

        :param dry_run: whether it was only computed.
        """
        asset = self.data_asset
        label = asset.label if asset else shorten(self.id)
        would = "would be " if dry_run and self.action in {"created", "updated", "deleted"} else ""
        changed = f": {first_few(self.changed_fields)}" if self.changed_fields else ""
        version = f", version {asset.version}" if asset and asset.version is not None else ""
        return f"Data asset {label} {would}{self.action}{changed}{version}"

    def __str__(self) -> str:
        return self.describe()


def ignore_result(result: Result) -> None:
    """Do nothing with a result: what is called if nobody wants to know it at once."""


def compact_row(
    data_asset_id: str | None,
    action: Action,
    asset: DataAsset | None,
    *,
    changed_fields: Iterable[str] = (),
) -> dict[str, Any]:
    """Return ``{"id", "technical_name", "action", "version", "changed_fields", "data_asset"}``.

    For results of thousands, some 150 bytes each: ``data_asset`` is ``None`` but for one that was deleted and
    can be read nowhere else.
    """
    return {
        "id": data_asset_id,
        "technical_name": asset.technical_name if asset else None,
        "action": action,
        "version": asset.version if asset else None,
        "changed_fields": list(changed_fields),
        "data_asset": asset.to_json() if asset and action == "deleted" else None,
    }


def summarize(results: Iterable[Result]) -> dict[str, Any]:
    """Return ``{"counts": {action: n}, "results": [...]}``, with a compact row for each result."""
    return summary_of_rows([result.to_row() for result in results])


def summary_of_rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ``{"counts": {action: n}, "results": rows}``."""
    return {"counts": dict(Counter(row["action"] for row in rows)), "results": rows}
