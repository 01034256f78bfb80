"""Secrets that this process uses, so that nothing it shows repeats them.

Whoever answers may quote the request: a gateway that refuses it shows its headers or its body. All text from
outside passes :func:`hide_secrets` before it is cut, on its way into an error or a log line.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from html.entities import html5
from urllib.parse import quote, quote_plus

# The last ones that were used; a triggerer gets new access tokens for as long as it runs.
_MOST_SECRETS = 256
# A shorter one would black out unrelated text, and is none that Qlik Cloud gives out.
_SHORTEST_SECRET = 8
LONGEST_SECRET = 16_384
"""A longer one fits into no header."""
_HIDDEN = "***"
_ESCAPABLE = re.compile(r"[^A-Za-z0-9._~-]")
# To look for more takes a second to prepare, and no secret of Qlik Cloud has so many.
_MOST_ESCAPABLE = 1000

_lock = threading.Lock()
# Replaced as a whole, so that readers need no lock.
_patterns: dict[str, tuple[str, re.Pattern[str]]] = {}


def remember_secret(secret: str) -> None:
    """Keep a secret out of everything that is shown from now on.

    :param secret: as it is sent.
    """
    global _patterns  # noqa: PLW0603
    if len(secret) < _SHORTEST_SECRET or secret == next(reversed(_patterns), None):
        return
    with _lock:
        patterns = dict(_patterns)
        # Again at the end: the one that was not used for the longest time is forgotten first.
        patterns[secret] = patterns.pop(secret) if secret in patterns else _pattern(secret)
        if len(patterns) > _MOST_SECRETS:
            del patterns[next(iter(patterns))]
        _patterns = patterns


def hide_secrets(text: str) -> str:
    """Return a text with ``***`` in the place of every secret, however it is escaped and in either case.

    :param text: the whole text: of a secret that is cut, the rest would not be found.
    """
    lowered = text.lower()
    for plain, pattern in _patterns.values():
        if plain in lowered:  # quicker than the pattern, which hardly ever matches
            text = pattern.sub(_HIDDEN, text)
    return text


def _pattern(secret: str) -> tuple[str, re.Pattern[str]]:
    """Return the longest part of a secret that nobody escapes, and what matches all of it."""
    plain = max(re.split(r"[^a-z0-9]+", secret.lower()), key=len)
    if len(_ESCAPABLE.findall(secret)) > _MOST_ESCAPABLE:
        return plain, re.compile(re.escape(secret), re.IGNORECASE)
    written = map(_as_written, re.sub(r"\\+", r"\\", secret))
    # Only where backslashes begin: each one would be looked at again for every one before it.
    begin = "" if secret[0].isalnum() else r"(?<!\\)(?<!%5c)" if secret[0] == "\\" else r"(?<!\\)"
    return plain, re.compile(begin + "".join(written), re.IGNORECASE)


@functools.cache
def _as_written(character: str) -> str:
    """Return what matches a character in headers, JSON, texts of Python, URLs, forms and HTML."""
    if not _ESCAPABLE.match(character):
        return re.escape(character)
    if character == "\\":
        return r"(?:\\(?:u005c)?|%5c|&#92;|&#x5c;|&bsol;)++"
    encodable = character.encode(errors="replace").decode()
    written = (
        character,
        json.dumps(character)[1:-1],
        quote(encodable, safe=""),
        quote_plus(encodable),
        f"u{ord(character):04x}",
        *(f"&{name}" for name, meant in html5.items() if meant == character and name.endswith(";")),
    )
    # Texts within texts have a backslash more for each; possessive, so that many of them take no time.
    forms = dict.fromkeys(re.escape(form.lstrip("\\")) for form in written)
    number = rf"&#0*+(?:{ord(character)}|x0*+{ord(character):x});"
    return rf"\\*+(?:{'|'.join(forms)}|{number})"
