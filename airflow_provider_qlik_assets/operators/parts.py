"""What a task did before and after waits for the quota in the triggerer, combined into one result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_qlik_assets.catalog.results import Result, summary_of_rows

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_qlik_assets._compat import Context

Row = dict[str, Any]


class Part:
    """The work of a task between two waits for the quota, or from its start or to its end.

    :param context: context of the running task.
    :param earlier: rows of what earlier parts have done.
    :param waited: seconds that the task has waited since its last progress; ``None`` in its first part.
    :param started: the time at which the first part began; ``None`` is now.
    """

    def __init__(
        self,
        context: Context,
        earlier: Iterable[Row] = (),
        waited: float | None = None,
        started: datetime | None = None,
    ) -> None:
        self.context = context
        self.earlier = list(earlier)
        self.waited = waited
        self.started = started or pendulum.now("UTC")
        self.done: list[Row] = []

    def add(self, result: Result) -> None:
        """Record what was done."""
        self.done.append(result.to_row())

    def left(self, data_asset_ids: Iterable[str]) -> list[str]:
        """Return the ids that earlier parts did not process."""
        before = {row["id"] for row in self.earlier}
        return [data_asset_id for data_asset_id in data_asset_ids if data_asset_id not in before]

    def created_before(self) -> dict[str, str]:
        """Return the ids of what earlier parts have created, by technical name."""
        # The newest rows come first: what was deleted during a wait was created again afterwards.
        rows = reversed(self.earlier)
        return {row["technical_name"]: row["id"] for row in rows if row["action"] == "created"}

    def deleted_before(self) -> int:
        """Return how many data assets earlier parts have deleted."""
        return sum(row["action"] == "deleted" for row in self.earlier)

    def progress(self) -> int:
        """Return how many data assets only this part has processed."""
        return len(self.left(row["id"] for row in self.done))

    def rows(self, *, keep: bool = True) -> list[Row]:
        """Return what was done so far, each data asset once.

        :param keep: whether to include what only earlier parts processed; what they deleted is always
            included.
        """
        return _merged(self.earlier, self.done, keep=keep)

    def summary(self, order: Iterable[str] | None = None, *, keep: bool = True) -> dict[str, Any]:
        """Return ``{"counts": {action: n}, "results": [...]}`` of what was done so far.

        :param order: ids in the order of the results. What earlier parts did with other arguments, before a
            template or the DAG changed, comes last.
        """
        rows = self.rows(keep=keep)
        if order is not None:
            places = {data_asset_id: place for place, data_asset_id in enumerate(order)}
            rows.sort(key=lambda row: places.get(row["id"], len(places)))
        return summary_of_rows(rows)


def _merged(earlier: Sequence[Row], rows: Iterable[Row], *, keep: bool) -> list[Row]:
    before = {row["id"]: row for row in earlier}
    merged = []
    for row in rows:
        old = before.pop(row["id"], None)
        if old is not None and row["action"] in {"created", "updated", "unchanged"}:
            fields = sorted({*old["changed_fields"], *row["changed_fields"]})
            merged.append({**row, "action": old["action"], "changed_fields": fields})
        else:
            merged.append(row)
    return merged + [row for row in before.values() if keep or row["action"] == "deleted"]
