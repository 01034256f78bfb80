"""What a feed keeps of a data asset, and which fields it reads for that."""

from __future__ import annotations

from typing import NamedTuple

import pendulum

from airflow_provider_qlik_assets.client.models import DataAsset


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
