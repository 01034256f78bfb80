"""Regular expressions for technical names that are always matched in linear time.

Python's own matcher tries one way after the other, and ``([a-z0-9]+_?)+`` has more ways to fail on a name of
40 characters than could ever be tried. Here all ways are followed at once, a character at a time. Look-around
and back references, which cannot be matched like that, are refused; technical names hardly need them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

LONGEST_PATTERN = 1000
_DEEPEST_GROUPS = 20
# Enough for ".{1,255}", as long as a technical name may be; following them all takes milliseconds a name.
_MOST_STATES = 600
_MOST_KNOWN_STEPS = 10_000
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*+\]", re.DOTALL)
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_KNOWN_ESCAPES = frozenset("dDwWsSnrtfv")


class NamePattern:
    """A regular expression that a whole name has to match.

    Literals, ``.``, ``[classes]``, ``\\d \\w \\s`` and their opposites, ``( )``, ``(?: )``, ``|`` and the
    repetitions ``* + ? {m,n}`` mean what they mean in :mod:`re`, and ``(?i)`` at the beginning does. ``^`` at
    the beginning and ``$`` at the end are allowed.

    :param pattern: at most 1,000 characters.
    :raises ValueError: if it is not such an expression; the message is a clause that says why.
    """

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str) or not 1 <= len(pattern) <= LONGEST_PATTERN:
            raise ValueError(f"it must be a string of 1 to {LONGEST_PATTERN} characters")
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None
        self._states = [_State()]  # the first one accepts
        start = self._build(_Parser(pattern).parse(), 0)
        self._start = self._closure({start})
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, name: str) -> bool:
        """Return whether the whole of a name matches."""
        states = self._start
        for character in name:
            following = self._known.get((states, character))
            if following is None:
                following = self._step(states, character)
            if not following:
                return False
            states = following
        return 0 in states

    def _step(self, states: frozenset[int], character: str) -> frozenset[int]:
        reached: set[int] = set()
        matches: dict[re.Pattern[str], bool] = {}
        for number in states:
            state = self._states[number]
            if state.atom is None:
                continue
            if state.atom not in matches:
                matches[state.atom] = state.atom.fullmatch(character) is not None
            if matches[state.atom]:
                reached.update(state.targets)
        following = self._closure(reached)
        if len(self._known) >= _MOST_KNOWN_STEPS:
            self._known.clear()
        self._known[states, character] = following
        return following

    def _closure(self, states: set[int]) -> frozenset[int]:
        """Return what can be reached without another character."""
        found, left = set(states), list(states)
        while left:
            state = self._states[left.pop()]
            if state.atom is None:
                left += [target for target in state.targets if target not in found]
                found.update(state.targets)
        return frozenset(found)

    def _add(self, atom: re.Pattern[str] | None, *targets: int) -> int:
        if len(self._states) >= _MOST_STATES:
            raise ValueError("it is too large when its repetitions are expanded")
        self._states.append(_State(atom, list(targets)))
        return len(self._states) - 1

    def _build(self, node: _Node, following: int) -> int:
        """Add the states of a node that goes on with a state; return the first of them."""
        if isinstance(node, _Atom):
            return self._add(node.pattern, following)
        if isinstance(node, _Sequence):
            for part in reversed(node.parts):
                following = self._build(part, following)
            return following
        if isinstance(node, _Choice):
            return self._add(None, *[self._build(option, following) for option in node.options])
        start = following
        if node.most is None:
            start = self._add(None, following)
            self._states[start].targets.append(self._build(node.inner, start))
        else:
            for _ in range(node.most - node.least):
                start = self._add(None, self._build(node.inner, start), following)
        for _ in range(node.least):
            before = len(self._states)
            start = self._build(node.inner, start)
            if len(self._states) == before:
                break  # it is empty, however often it is repeated
        return start


@dataclass
class _State:
    """A place in the pattern: it goes on with a character that matches, or at once if it has no atom."""

    atom: re.Pattern[str] | None = None
    targets: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Atom:
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class _Sequence:
    parts: list[_Node]


@dataclass(frozen=True)
class _Choice:
    options: list[_Node]


@dataclass(frozen=True)
class _Repetition:
    inner: _Node
    least: int
    most: int | None


_Node = _Atom | _Sequence | _Choice | _Repetition


class _Parser:
    """Read an expression that :mod:`re` accepts, and refuse what is not matched here."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._flags = re.IGNORECASE if self._skip("(?i)") else re.NOFLAG

    def parse(self) -> _Node:
        self._skip("^")
        return self._choice(0)

    def _skip(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _choice(self, depth: int) -> _Node:
        if depth > _DEEPEST_GROUPS:
            raise ValueError(f"its groups are nested more than {_DEEPEST_GROUPS} deep")
        options: list[_Node] = [self._sequence(depth)]
        while self._skip("|"):
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else _Choice(options)

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            if self._text[self._at :] == "$" and depth == 0:
                self._at += 1
                break
            parts.append(self._repeated(self._single(depth)))
        return _Sequence(parts)

    def _single(self, depth: int) -> _Node:
        if self._skip("("):
            if self._skip("?") and not self._skip(":"):
                self._refuse("(?" + self._text[self._at : self._at + 1])
            inner = self._choice(depth + 1)
            self._skip(")")
            return inner
        character = self._text[self._at]
        if character in "^$":
            self._refuse(character)
        if character == "\\":
            escaped = self._text[self._at + 1]
            if escaped.isalnum() and escaped not in _KNOWN_ESCAPES:
                self._refuse("\\" + escaped)
            return self._atom(2)
        if character == "[" and (whole := _CLASS.match(self._text, self._at)):
            return self._atom(len(whole[0]))
        return self._atom(1, is_literal=character != ".")

    def _atom(self, length: int, *, is_literal: bool = False) -> _Atom:
        text = self._text[self._at : self._at + length]
        self._at += length
        return _Atom(re.compile(re.escape(text) if is_literal else text, self._flags))

    def _repeated(self, inner: _Node) -> _Node:
        if self._skip("*"):
            repeated: _Node = _Repetition(inner, 0, None)
        elif self._skip("+"):
            repeated = _Repetition(inner, 1, None)
        elif self._skip("?"):
            repeated = _Repetition(inner, 0, 1)
        elif (count := _COUNT.match(self._text, self._at)) and count[0] != "{}":
            self._at = count.end()
            least = int(count[1] or 0)
            most = int(count[3]) if count[3] else None if count[2] else least
            if max(least, most or 0) > _MOST_STATES:
                raise ValueError("a repetition count is too high")
            repeated = _Repetition(inner, least, most)
        else:
            return inner
        if self._skip("+"):
            self._refuse("a possessive repetition")
        self._skip("?")  # whether few or many are tried first makes no difference to a whole name
        return repeated

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(f"{what} cannot be matched in linear time")
