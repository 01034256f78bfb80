"""Errors whose frames hold no variables.

A tool that records errors may record the variables of every frame that an error came through. On the way of
a request these are headers, bodies, tokens, keys and proxies, also in frames of the libraries used. So what
leaves a function with :func:`clears_variables`, an interrupt as well, keeps its message, files and lines, but
no variables.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_R = TypeVar("_R")


def clears_variables(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Clear the variables of all frames, from this function down, of an exception that leaves it.

    The same goes for the exceptions that led to it. Those hidden by ``from None`` are removed, because their
    messages may hold secrets, too. What the caller was handling when it called stays as it is.

    :param function: a function, or a coroutine function.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call(*arguments: Any, **options: Any) -> Any:
            handled = sys.exception()
            try:
                return await function(*arguments, **options)
            except BaseException as error:
                del arguments, options
                _clear(error, handled)
                raise
    else:

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            handled = sys.exception()
            try:
                return function(*arguments, **options)
            except BaseException as error:
                del arguments, options
                _clear(error, handled)
                raise

    return cast("Callable[_P, _R]", call)


def _clear(error: BaseException, handled: BaseException | None) -> None:
    pending: list[BaseException | None] = [error]
    seen = {id(None), id(handled)}
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if each.__suppress_context__:
            each.__context__ = None
        traceback.clear_frames(each.__traceback__)
        pending += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
