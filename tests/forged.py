"""Text of somebody who wants to forge the log, and what may be shown of it."""

from __future__ import annotations

import logging
import re
import traceback

# A line of its own, terminal commands, other line ends, marks that turn the direction of writing.
FORGED = (
    "orders\n[forged] ERROR - all is lost\r[forged]\x0b[forged]\x85[forged]\u2028[forged]\u2029[forged]"
    "\x1b[31m\x1b]8;;http://evil.example\x07\x9b31m\x7f\u202egpj\u202c\u2066a\u2069\u200b\ufeff\U000e0041"
)
# Valid JSON, but no text that a log file or an XCom can hold.
FORGED_JSON = FORGED + "\0\ud800"
LONG = f"{FORGED}\0" * 400
LONGEST = 16_000

_LINE_OF_A_PLAN = re.compile(r"  (create|update|delete|protected|conflict|\.\.\.) ")


def check_message(text: str) -> None:
    """Check the message of an error, or what a test of a connection says."""
    assert text.isprintable(), ascii(text)
    assert 0 < len(text) <= LONGEST


def check_error(error: BaseException) -> None:
    """Check the message of an error and the traceback that Airflow logs of it."""
    check_message(str(error))
    shown = "".join(traceback.format_exception(error))
    lines = shown.split("\n")
    assert all(line.isprintable() for line in lines), ascii(shown)
    assert not any(line.startswith("[forged]") for line in lines)


def check_records(records: list[logging.LogRecord]) -> None:
    """Check the lines of a log; only a plan has several."""
    for record in records:
        if record.name.startswith(("httpx", "uvicorn", "alembic")):
            continue
        first, *more = record.getMessage().split("\n")
        assert first.isprintable(), ascii(first)
        assert len(record.getMessage()) <= LONGEST, record.getMessage()[:500]
        assert all(line.isprintable() and _LINE_OF_A_PLAN.match(line) for line in more), ascii(more)
