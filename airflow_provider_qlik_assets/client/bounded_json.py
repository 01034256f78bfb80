"""Parse untrusted JSON with bounds on stack, memory and time."""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn

# For a page of 100 data assets, 2,500 values each; for a file, ten thousand entries with a dozen fields.
MOST_VALUES = 250_000
_BRACKETS = b"[{]}"
_SEPARATORS = b",:"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS) - set(_SEPARATORS))
_UNFIT_FOR_XCOM = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class TooLargeError(ValueError):
    """The arrays and objects are nested too deeply, or contain too many values."""


def parse_json(content: bytes, *, deepest: int = 100, as_written: bool = False, **options: Any) -> Any:
    """Return the value of a JSON text in UTF-8.

    :param content: the text; the caller limits its size.
    :param deepest: how many levels deep arrays and objects may be nested.
    :param as_written: whether to keep integers and texts that an XCom cannot hold.
    :param options: passed on to :func:`json.loads`.
    :return: the value, with numbers and texts that an XCom can hold: an integer of more than 64 bits becomes
        a float, and half of a surrogate pair or a null character becomes the replacement character.
    :raises TooLargeError: if the text is nested deeper, or has more than 250,000 values, names included. This
        is checked in linear time, before anything is parsed.
    :raises ValueError: if it is not JSON, or a number is too large for a float.
    """
    without_escapes = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = without_escapes.count(b'"')
    marks = b"" if quotes > 2 * MOST_VALUES else _marks(without_escapes)
    if quotes > 2 * MOST_VALUES or 1 + sum(marks.count(sign) for sign in b",:[{") > MOST_VALUES:
        raise TooLargeError(f"it holds more than {MOST_VALUES:,} values")
    steps = map(_STEPS.__getitem__, marks.translate(None, _SEPARATORS))
    if max(accumulate(steps), default=0) > deepest:
        raise TooLargeError(f"it is nested more than {deepest} deep")
    value = json.loads(
        content.decode("utf-8-sig"),
        parse_int=int if as_written else _parse_int,
        parse_float=_parse_float,
        parse_constant=_refuse_constant,
        **options,
    )
    return value if as_written or not _UNFIT_FOR_XCOM.search(content) else _fit_for_xcom(value)


def has_64_bits(number: int) -> bool:
    """Return whether an XCom can hold an integer."""
    return -(2**63) <= number < 2**64


def fits_xcom(text: str) -> bool:
    """Return whether an XCom can hold a text: without half of a surrogate pair, or a null character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text  # PostgreSQL has none in JSON


def _marks(without_escapes: bytes) -> bytes:
    """Return the characters that separate and enclose values, without those inside of texts."""
    outside_of_texts = b"".join(without_escapes.split(b'"')[::2])
    return outside_of_texts.translate(None, _OTHERS)


def _parse_int(text: str) -> int | float:
    number = int(text)
    return number if has_64_bits(number) else _parse_float(text)


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fit_for_xcom(value: Any) -> Any:
    if isinstance(value, str):
        if not value.isascii():
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value.replace("\0", _REPLACEMENT)
    if isinstance(value, list):
        return [_fit_for_xcom(item) for item in value]
    if isinstance(value, dict):
        return {_fit_for_xcom(name): _fit_for_xcom(item) for name, item in value.items()}
    return value
