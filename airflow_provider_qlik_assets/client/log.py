"""The loggers of the package: they escape and shorten arguments with :func:`~.errors.shorten`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from airflow_provider_qlik_assets.client.errors import one_line, shorten

_SHOWN_OF_URLLIB3 = 1000


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module.

    Texts, paths and errors in the arguments of a log line cannot start another line or contain unprintable
    characters, wherever they come from. Objects of the package, such as a plan with several lines, are not
    escaped.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_escape_arguments)
    return logger


def watch_urllib3(is_ours: Callable[[], bool], is_secret: Callable[[], bool]) -> None:
    """Escape what urllib3 logs of answers like :func:`shorten`, and drop tracebacks, which repeat it.

    :param is_ours: whether the thread is making a request of this package; other lines stay unchanged.
    :param is_secret: whether the URL of that request must not be shown; nothing is logged then.
    """

    def shorten_arguments(record: logging.LogRecord) -> bool:
        if is_secret():
            return False
        if is_ours():
            record.exc_info = None
            if isinstance(record.args, tuple):
                record.args = tuple(map(_shortened, record.args))
        return True

    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(shorten_arguments)


def _escape_arguments(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_shown(argument) for argument in record.args)
    return True


def _shown(argument: Any) -> Any:
    return one_line(str(argument)) if isinstance(argument, (str, PurePath, BaseException)) else argument


def _shortened(argument: Any) -> Any:
    return (
        shorten(str(argument), _SHOWN_OF_URLLIB3) if isinstance(argument, (str, BaseException)) else argument
    )
