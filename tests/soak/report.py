"""The report of a soak: what was done, what failed on purpose, and the story of each violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.soak.checks import Findings, Violation
from tests.soak.records import Records
from tests.soak.run import LIMITS, Facts, Plan

_MOST_STORIES = 10
_MOST_LINES = 60
_STORY_SECONDS = 30.0
_SHOWN_CHARACTERS = 400


def report(plan: Plan, facts: Facts, records: Records, findings: Findings) -> str:
    """Return the report as text."""
    return "\n".join([*_numbers(plan, facts, records, findings), *_violations(records, findings), ""])


def _numbers(plan: Plan, facts: Facts, records: Records, findings: Findings) -> Iterator[str]:
    yield f"Seed {plan.seed}, {plan.processes} processes, {plan.seconds:g} s, tenant {plan.tenant_settings()}"
    operations = Counter((operation.kind, operation.outcome) for operation in records.operations.values())
    yield f"Operations: {operations.total()}"
    for kind in sorted({kind for kind, _ in operations}):
        outcomes = [f"{number} {what}" for (of, what), number in sorted(operations.items()) if of == kind]
        yield f"  {kind:<16} {', '.join(outcomes)}"
    faults = Counter(str(request.entry["fault"]) for request in records.requests if request.entry["fault"])
    requests = Counter(request.entry["method"] for request in records.requests)
    yield f"Requests: {len(records.requests)} ({_counts(requests)}), limits {LIMITS}"
    yield f"Faults: {faults.total()} ({_counts(faults)})"
    yield f"Kills: {facts.kills}; edits of the stranger: {facts.edits}; workers that hung: {facts.hung}"
    yield f"Data assets: {len(records.lives)} created, {_remaining(records)} at the end"
    for what, number in sorted(findings.counts.items()):
        yield f"  {what}: {number}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counter.items()))


def _remaining(records: Records) -> int:
    return sum(life.deleted is None for life in records.lives.values())


def _violations(records: Records, findings: Findings) -> Iterator[str]:
    broken = Counter(violation.promise for violation in findings.violations)
    yield f"Violations: {broken.total()}" + (f" ({_counts(broken)})" if broken else "")
    for number, violation in enumerate(findings.violations, 1):
        yield f"\n[{number}] {violation.promise}: {violation.what}"
        if number <= _MOST_STORIES:
            yield from _story(records, violation)


def _story(records: Records, violation: Violation) -> Iterator[str]:
    """Yield what happened to the data asset, in order."""
    life = violation.life
    if life is None or violation.at is None:
        return
    yield f"    {life.store}, {life.name}, {life.id}; seconds before and after it happened:"
    lines = [
        (change.at, f"tenant  by {change.by}: {change.document or 'deleted'}") for change in life.changes
    ]
    lines += [
        (request.arrived, f"journal {request.by} {request}")
        for request in records.requests
        if request.concerns(life.id, life.store, life.name)
    ]
    for operation in records.operations.values():
        if operation.concerns(life.id, life.store, life.name):
            lines.append((operation.began, f"worker  {operation.key} begins {operation}"))
            if operation.end:
                end = {name: value for name, value in operation.end.items() if name != "at"}
                lines.append((operation.end["at"], f"worker  {operation.key} ends {end}"))
    near = [line for line in sorted(lines) if abs(line[0] - violation.at) <= _STORY_SECONDS]
    begin = next((i for i, line in enumerate(near) if line[0] > violation.at), len(near))
    first = max(0, begin - _MOST_LINES * 5 // 6)
    for at, text in near[first : first + _MOST_LINES]:
        yield f"    {at - violation.at:+9.3f}  {text[:_SHOWN_CHARACTERS]}"
