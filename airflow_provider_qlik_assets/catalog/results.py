"""What was done to data assets, as plain JSON for XCom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

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

    def __str__(self) -> str:
        asset = self.data_asset
        name = f" ({asset.technical_name})" if asset and asset.technical_name else ""
        version = f", version {asset.version}" if asset and asset.version is not None else ""
        changed = f": {', '.join(self.changed_fields)}" if self.changed_fields else ""
        return f"Data asset {self.id}{name} {self.action}{changed}{version}"


def summarize(results: Iterable[Result]) -> dict[str, Any]:
    """Return ``{"counts": {action: n}, "results": [...]}``."""
    entries = [result.to_json() for result in results]
    return {"counts": dict(Counter(entry["action"] for entry in entries)), "results": entries}
