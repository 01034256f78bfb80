"""Let processes change a tenant at random while requests fail and processes die; check what became of it.

``python tests/soak --minutes 2 --seed 1`` prints a report and ends with 1 if a promise was broken. What was
done can be repeated with the seed as far as processes allow: each of them decides alike, but not at the same
moments.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.soak.checks import check
from tests.soak.records import load
from tests.soak.report import report
from tests.soak.run import Plan, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser("tests/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the processes work (2)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    parser.add_argument("--processes", type=int, default=6, help="how many work at a time (6)")
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between two operations (0.3)")
    parser.add_argument("--kill-every", type=float, default=8.0, help="mean seconds between two kills (8)")
    parser.add_argument("--faults", type=float, default=0.08, help="fraction of requests that fail (0.08)")
    parser.add_argument("--keep", type=Path, help="directory for the records; else kept only on a violation")
    options = parser.parse_args(arguments)

    directory = options.keep or Path(tempfile.mkdtemp(prefix="qlik-assets-soak-"))
    directory.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        seed=options.seed,
        seconds=options.minutes * 60,
        processes=options.processes,
        pause=options.pause,
        kill_every=options.kill_every,
        faults=options.faults,
        directory=directory.resolve(),
    )
    facts = run(plan)
    records = load(plan.directory)
    findings = check(records)
    sys.stdout.write(report(plan, facts, records, findings))
    if findings.violations:
        sys.stdout.write(f"The records are in {directory}.\n")
    elif options.keep is None:
        shutil.rmtree(directory)
    return 1 if findings.violations else 0


if __name__ == "__main__":
    sys.exit(main())
