"""Guards that keep an automatic deletion from deleting too much."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.validation import check_texts, check_whole_number


@dataclass(frozen=True)
class DeletionGuards:
    """Which data assets must survive, and how many may be deleted at once.

    :param max_deletions: most data assets to delete; ``None`` sets no limit.
    :param max_fraction: largest fraction of all to delete, from 0 to 1; ``None`` sets no limit.
    :param protected_tags: a data asset that has one of these tags is never deleted. Another list of texts
        becomes a frozenset.
    :param already_deleted: number of data assets that an earlier part of the same work has deleted.
    :raises QlikValidationError: if a value cannot be used.
    """

    max_deletions: int | None = 100
    max_fraction: float | None = 0.2
    protected_tags: frozenset[str] = frozenset()
    already_deleted: int = 0

    def __post_init__(self) -> None:
        most, share = self.max_deletions, self.max_fraction
        if most is not None:
            check_whole_number(most, "max_deletions")
        if share is not None and (
            isinstance(share, bool)
            or not isinstance(share, int | float)
            or not math.isfinite(share)
            or not 0 <= share <= 1
        ):
            raise QlikValidationError(
                f"max_fraction must be a fraction from 0 to 1, not {shorten(repr(share), 60)}."
            )
        object.__setattr__(self, "protected_tags", check_texts(self.protected_tags, "protected_tags"))
        check_whole_number(self.already_deleted, "already_deleted")

    def protects(self, asset: DataAsset) -> bool:
        """Return whether a data asset must not be deleted."""
        return not self.protected_tags.isdisjoint(asset.tags or ())

    def split(self, candidates: Iterable[DataAsset]) -> tuple[list[DataAsset], list[DataAsset]]:
        """Return the candidates that may be deleted, and those that are protected."""
        deletable: list[DataAsset] = []
        protected: list[DataAsset] = []
        for asset in candidates:
            (protected if self.protects(asset) else deletable).append(asset)
        return deletable, protected

    def check(self, deletions: int, total: int) -> None:
        """Reject a deletion of too much; call it before the first deletion, when all candidates are known.

        :param deletions: number of data assets that would be deleted.
        :param total: number of all data assets among which they were selected.
        :raises QlikValidationError: naming the limit that is exceeded.
        """
        deletions, total = deletions + self.already_deleted, total + self.already_deleted
        nothing = "nothing more" if self.already_deleted else "nothing"
        if self.max_deletions is not None and deletions > self.max_deletions:
            raise QlikValidationError(
                f"{deletions} data assets would be deleted, but max_deletions allows {self.max_deletions}: "
                f"{nothing} was deleted. Check what is selected, or raise max_deletions."
            )
        # A quotient, not a product: 0.29 * 100 is less than 29.
        share = deletions / max(1, total)
        if self.max_fraction is not None and share > self.max_fraction:
            raise QlikValidationError(
                f"{deletions} of {total} data assets would be deleted ({share:.1%}), "
                f"but max_fraction allows {self.max_fraction:.1%}: {nothing} was deleted. Check what is "
                "selected, or raise max_fraction."
            )


def check_guards(guards: Any) -> DeletionGuards:
    """Return guards.

    :raises QlikValidationError: if they are none, such as ``None`` or a dict, which guard nothing.
    """
    if not isinstance(guards, DeletionGuards):
        raise QlikValidationError(f"guards must be DeletionGuards, not {type(guards).__name__}.")
    return guards
