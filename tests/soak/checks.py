"""The promises that a soak checks, each from the records alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

from tests.soak.deletions import check_deletions
from tests.soak.operations import property_of
from tests.soak.records import STRANGER, Life, Operation, Records, Request
from tests.soak.run import LIMITS, WINDOW_SECONDS
from tests.soak.stranger import EDIT

GROUNDLESS = {
    "QlikAuthenticationError",
    "QlikBadRequestError",
    "QlikConfigurationError",
    "QlikPermissionError",
    "QlikValidationError",
}
"""Errors that neither a fault nor another process causes."""

GUARDS = ("max_deletions", "max_fraction")

SLOW_SECONDS = 1.0
"""A create that takes longer may have been given up by its client."""


@dataclass(frozen=True)
class Violation:
    """A promise that was broken.

    :param promise: which one.
    :param what: what happened.
    :param life: the data asset concerned, if there is one.
    :param at: when, in seconds.
    """

    promise: str
    what: str
    life: Life | None = None
    at: float | None = None


@dataclass
class Findings:
    """What the checks have found.

    :param counts: what is allowed, but worth a number.
    """

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def broken(self, promise: str, what: str, life: Life | None = None, at: float | None = None) -> None:
        """Take note of a violation."""
        self.violations.append(Violation(promise, what, life, at))


def check(records: Records) -> Findings:
    """Check all promises."""
    findings = Findings()
    for life in records.lives.values():
        _check_owned_fields(life, findings)
        _check_freshness(life, findings)
    for operation in records.operations.values():
        _check_error(operation, findings)
        _check_confirmed(records, operation, findings)
    _check_names(records, findings)
    check_deletions(records, findings)
    _check_quotas(records.requests, findings)
    return findings


def _check_owned_fields(life: Life, findings: Findings) -> None:
    """No update of a field that has one writer is lost: its number never falls, and never vanishes."""
    for before, after in pairwise(life.versions):
        was, now = _owned(life.document(before)), _owned(life.document(after))
        for name, number in was.items():
            if now.get(name, -1) < number:
                what = f"{name} was {number} and became {now.get(name, 'unset')} through {after.by}"
                findings.broken("no lost update", what, life, after.at)


def _owned(document: dict[str, Any]) -> dict[str, int]:
    """Return the numbers of the fields that have one writer each."""
    numbers = {f"properties.{name}": number for name, number in (document.get("properties") or {}).items()}
    description = document.get("description") or ""
    if description.startswith(EDIT):
        numbers["description"] = int(description.removeprefix(EDIT))
    return numbers


def _check_freshness(life: Life, findings: Findings) -> None:
    for before, after in pairwise(life.versions):
        was = _freshness(life.document(before))
        now = _freshness(life.document(after))
        if was is not None and (now is None or now < was):
            what = f"dataFreshness was {was} and became {now} through {after.by}"
            findings.broken("freshness never goes back", what, life, after.at)


def _freshness(document: dict[str, Any]) -> datetime | None:
    text = document.get("dataFreshness")
    return datetime.fromisoformat(text) if text else None


def _check_error(operation: Operation, findings: Findings) -> None:
    if operation.end is None:
        return
    error = operation.end.get("error", "")
    if operation.outcome == "untyped":
        findings.broken("every error is typed", f"{operation.key}: {operation}\n{error}")
    elif operation.outcome in GROUNDLESS and not any(guard in error for guard in GUARDS):
        findings.broken("no error without a cause", f"{operation.key}: {operation}: {error}")


def _check_confirmed(records: Records, operation: Operation, findings: Findings) -> None:
    """What an operation says to have written was there before it ended."""
    if operation.end is None:
        return
    wanted = dict(operation.arguments.get("fields", {}))
    if "instant" in operation.arguments:
        wanted["dataFreshness"] = operation.arguments["instant"]
    for data_asset_id, action in operation.end["results"]:
        if not wanted or action not in {"created", "updated", "unchanged"}:
            continue
        life = records.lives.get(data_asset_id)
        if life is None:
            findings.broken(
                "no lost update", f"{operation.key} tells of {data_asset_id}, which never existed"
            )
            continue
        until = operation.ended or 0.0
        versions = [life.document(version) for version in life.versions if version.at <= until]
        if not any(_has(version, operation, wanted) for version in versions):
            what = f"{operation.key} confirmed {wanted}, but it was never written"
            findings.broken("no lost update", what, life, until)


def _has(document: dict[str, Any], operation: Operation, wanted: dict[str, Any]) -> bool:
    worker, number = operation.key
    marked = _owned(document).get(f"properties.{property_of(worker)}") == number
    fresh, instant = _freshness(document), wanted.get("dataFreshness")
    return ("properties" not in wanted or marked) and (
        instant is None or (fresh is not None and fresh >= datetime.fromisoformat(instant))
    )


def _check_names(records: Records, findings: Findings) -> None:
    """No two data assets of one name remain when both of their creators have ended.

    It is the creator of the younger one who has to delete it again.
    """
    named: dict[tuple[str, str], list[Life]] = defaultdict(list)
    for life in records.lives.values():
        named[life.store, life.name].append(life)
    for lives in named.values():
        for older, younger in combinations(sorted(lives, key=Life.age), 2):
            creators = [records.operations.get(life.created.by) for life in (older, younger)]
            ended = [creator.ended or 0.0 for creator in creators if creator]
            at = max(*ended, older.created.at, younger.created.at)
            creator = creators[1]
            if creator is None or not (older.exists(at) and younger.exists(at)):
                continue
            excuse = _excuse(records, creator, younger)
            if excuse is not None:
                findings.counts[f"two of a name remained: {excuse}"] += 1
                _check_warnings(records, older, younger, at, findings)
            else:
                what = f"{older.id} by {older.created.by} and {younger.id} by {younger.created.by} remained"
                findings.broken("one data asset of a name", what, younger, at)


def _excuse(records: Records, creator: Operation, life: Life) -> str | None:
    """Return why an operation could not delete again what it has created."""
    if creator.end is None:
        return "its process was killed"
    creates = [
        request
        for request in records.requests_by[creator.key]
        if request.entry["method"] == "POST" and request.concerns(life.id, life.store, life.name)
    ]
    if not all(request.succeeded for request in creates):
        return "the answer of a create was lost"
    arrived = max(request.arrived for request in creates if request.arrived <= life.created.at)
    if life.created.at - arrived > SLOW_SECONDS:
        return "the tenant was slow to create"
    if creator.outcome != "done":
        return f"its operation ended with {creator.outcome}"
    others = {change.by for change in life.versions if change.at < (creator.ended or 0.0)} - {creator.key}
    if others:
        return f"it was changed by {'the stranger' if STRANGER in others else 'a worker'} before"
    return None


def _check_warnings(records: Records, one: Life, other: Life, at: float, findings: Findings) -> None:
    """Whoever looks at two data assets of a name warns of both."""
    for operation in records.operations.values():
        looked = (
            operation.kind in {"find", "sync", "sync_and_delete", "upsert"}
            and operation.arguments.get("store") == one.store
            and one.name in operation.arguments["names"]
            and operation.outcome == "done"
            and operation.began > at
            and all(life.exists(operation.began) for life in (one, other))
            and all(life.exists(operation.ended or 0) for life in (one, other))
        )
        if looked and one.id in operation.said and other.id in operation.said:
            findings.counts["looks at two of a name that named both"] += 1
        elif looked:
            what = f"{operation.key} ({operation.kind}) did not warn of both {one.id} and {other.id}"
            findings.broken("two of a name are reported", what, one, operation.began)


def _check_quotas(requests: list[Request], findings: Findings) -> None:
    for request in requests:
        if request.entry["status"] == 429 and not request.entry["fault"]:
            findings.broken("all quotas are kept", f"refused by the tenant: {request.by}: {request}")
    for tier, limit in enumerate(LIMITS.values(), 1):
        arrived = [request.arrived for request in requests if request.entry["tier"] == tier]
        most = busiest(arrived, WINDOW_SECONDS)
        findings.counts[f"requests of tier {tier} in the busiest window of {WINDOW_SECONDS:g} s"] = most
        if most > limit:
            findings.broken("all quotas are kept", f"{most} requests of tier {tier} in one window of {limit}")


def busiest(instants: list[float], window: float) -> int:
    """Return the most instants in any window, from its begin to before its end."""
    ordered, most, first = sorted(instants), 0, 0
    for index, instant in enumerate(ordered):
        while ordered[first] <= instant - window:
            first += 1
        most = max(most, index - first + 1)
    return most
