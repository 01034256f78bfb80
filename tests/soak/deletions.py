"""The promise about deletions: only what was meant, and nothing that was refreshed meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.soak.records import Change, Life, Operation, Records, Request

if TYPE_CHECKING:
    from tests.soak.checks import Findings

PROMISE = "nothing refreshed is deleted"
LONGEST_LOOK_SECONDS = 1.0
"""Between the look at a data asset and its DELETE others may change it; this is how long that may take."""


def check_deletions(records: Records, findings: Findings) -> None:
    """Check each deletion against the kind of the operation that sent it."""
    for life in records.lives.values():
        if life.deleted is None:
            continue
        operation = records.operations[life.deleted.by]
        findings.counts[f"deleted by {operation.kind}"] += 1
        if operation.kind == "delete" and life.id in operation.arguments["ids"]:
            continue
        version = _version_to_delete(life, operation)
        if version is None:
            findings.broken(PROMISE, f"{operation.key} ({operation.kind}) deleted it", life, life.deleted.at)
            continue
        _check_meanwhile(records, life, operation, version, findings)


def _version_to_delete(life: Life, operation: Operation) -> Change | None:
    """Return the last version that the operation may delete; ``None`` if it may delete none."""
    if life.created.by == operation.key:
        return life.created
    planned = operation.known.get("to_delete", {})
    if life.id in planned:
        return next(
            change for change in life.versions if life.document(change)["version"] == planned[life.id]
        )
    if operation.kind == "clean_up":
        stale = [change for change in life.versions if _is_stale(life.document(change), operation.arguments)]
        return stale[-1] if stale else None
    return None


def _is_stale(document: dict[str, Any], rules: dict[str, Any]) -> bool:
    freshness = document.get("dataFreshness")
    limit = datetime.fromisoformat(rules["now"]) - timedelta(seconds=rules["stale_after"])
    return freshness is not None and datetime.fromisoformat(freshness) < limit


def _check_meanwhile(
    records: Records, life: Life, operation: Operation, version: Change, findings: Findings
) -> None:
    """Find out whether a change after the version that was to be deleted could have been seen."""
    assert life.deleted is not None
    sent = records.requests_by[operation.key]
    arrived = max(
        request.arrived
        for request in sent
        if request.entry["method"] == "DELETE"
        and request.concerns(life.id, life.store, life.name)
        and request.arrived <= life.deleted.at
    )
    missed = next((change for change in life.versions if version.at < change.at < arrived), None)
    if missed is None:
        findings.counts["deleted although changed after the DELETE arrived"] += life.versions[-1].at > arrived
        return
    looked = max((look.arrived for look in _looks(sent, life) if look.arrived < arrived), default=None)
    before = f"{arrived - missed.at:.3f} s before the DELETE arrived, through {missed.by}"
    if looked is None:
        what = f"changed {before}; the operation never looked at it"
    elif missed.at < looked:
        what = f"changed {before}, and {looked - missed.at:.3f} s before the operation looked at it"
    elif arrived - looked > LONGEST_LOOK_SECONDS:
        what = f"changed {before}, which was sent {arrived - looked:.3f} s after the look"
    else:
        findings.counts["deleted although changed between the look and its DELETE, within a second"] += 1
        return
    findings.broken(PROMISE, f"{operation.key} ({operation.kind}) deleted it: {what}", life, life.deleted.at)


def _looks(sent: list[Request], life: Life) -> list[Request]:
    return [
        request
        for request in sent
        if request.entry["method"] == "GET"
        and request.succeeded
        and request.concerns(life.id, life.store, life.name)
    ]
