"""Loggers of the package: what is put into a line is shown as :func:`~.errors.shorten` shows it."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import Any

from airflow_provider_qlik_assets.client.errors import one_line, shorten

_SHOWN_OF_URLLIB3 = 1000


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module.

    Texts, paths and errors among the arguments of a line cannot begin another line, nor hold what is not
    printable, whoever they come from. Objects of the package, such as a plan with its lines, show themselves.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_escape_arguments)
    return logger


def watch_urllib3() -> None:
    """Show what urllib3 logs of answers as :func:`shorten` does, without tracebacks, which repeat it."""
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_shorten_arguments)


def _shorten_arguments(record: logging.LogRecord) -> bool:
    record.exc_info = None
    if isinstance(record.args, tuple):
        record.args = tuple(
            shorten(str(entry), _SHOWN_OF_URLLIB3) if isinstance(entry, (str, BaseException)) else entry
            for entry in record.args
        )
    return True


def _escape_arguments(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_shown(argument) for argument in record.args)
    return True


def _shown(argument: Any) -> Any:
    return one_line(str(argument)) if isinstance(argument, (str, PurePath, BaseException)) else argument
