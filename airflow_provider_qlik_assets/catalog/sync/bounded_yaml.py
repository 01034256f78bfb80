"""Parse untrusted YAML with bounds on stack, memory and time.

Events are read by libyaml where PyYAML has it, ten times as fast. They are put together here, because that
is where YAML grows: by nesting, by aliases and merge keys that repeat what they refer to, and by numbers in
base 60. Messages quote nothing of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from airflow_provider_qlik_assets.client.bounded_json import MOST_VALUES

if TYPE_CHECKING or not yaml.__with_libyaml__:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Events(Reader, Scanner, Parser):
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)

else:
    from yaml.cyaml import CParser as _Events

_LONGEST_NUMBER = 100
_MOST_DIRECTIVES = 10
_IS_TEXT = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:binary"})
_MERGE = "tag:yaml.org,2002:merge"
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)


class MalformedYamlError(ValueError):
    """A text is not YAML, or grows beyond its bounds.

    :param problem: what is wrong.
    :param line: number of the line, from 1; ``None`` if it is not known.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


def parse_yaml(text: str, *, deepest: int, describe_key: Callable[[str], str]) -> Any:
    """Return what a YAML document holds: plain values only, no objects of Python.

    Duplicate keys in a mapping are rejected; YAML would use the last one.

    :param text: the document; the caller limits its size.
    :param deepest: how deep lists and mappings may be nested, aliases resolved.
    :param describe_key: what a message calls a key.
    :raises MalformedYamlError: if it is not such a document.
    """
    if sum(1 for _ in _DIRECTIVE.finditer(text)) > _MOST_DIRECTIVES:
        raise MalformedYamlError("it has too many directives")
    try:
        loader = _Loader(text, deepest, describe_key)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "it is not YAML"
        if not (
            yaml.__with_libyaml__ and isinstance(error, (yaml.scanner.ScannerError, yaml.parser.ParserError))
        ):
            problem = _QUOTED.sub("…", problem)
        raise MalformedYamlError(
            problem, error.problem_mark.line + 1 if error.problem_mark else None
        ) from None
    except MalformedYamlError:
        raise
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError):
        raise MalformedYamlError("it is not YAML, or a value is not what its tag says") from None
    except RecursionError:
        raise MalformedYamlError("it is nested too deeply") from None


class _Loader(Composer, _Events, SafeConstructor, Resolver):
    def __init__(self, text: str, deepest: int, describe_key: Callable[[str], str]) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._deepest = deepest
        self._describe_key = describe_key
        self._level = 0
        self._open: list[_Extent] = [_Extent(depth=0)]
        self._anchored: dict[int, _Extent] = {}
        self._values = 0
        self._aliased_values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, or find the one that an alias stands for."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        level = self._level
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            extent = self._anchored.get(id(node))
            if extent is None:
                raise _malformed("an alias stands for something that contains it", event)
            self._aliased_values += extent.nodes
            if self._aliased_values > MOST_VALUES:
                raise _malformed("its aliases expand to too many values", event)
            self._check_depth(extent.depth, event)
        else:
            extent = _Extent(depth=int(isinstance(event, yaml.CollectionStartEvent)))
            self._values += 1
            if self._values > MOST_VALUES:
                raise _malformed(f"it holds more than {MOST_VALUES:,} values", event)
            self._check_depth(extent.depth, event)
            self._open.append(extent)
            self._level += extent.depth
            node = super().compose_node(parent, index)
            self._level = level
            self._open.pop()
            if event.anchor is not None:
                self._anchored[id(node)] = extent
        self._open[-1].add(extent)
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        """Compose a text, a number, an instant or the like."""
        node = super().compose_scalar_node(anchor)
        if node.tag not in _IS_TEXT and len(node.value) > _LONGEST_NUMBER:
            raise _malformed("a number is too long", node)
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping, each key of which is there once."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag == _MERGE, key.value)
                if name in seen:
                    raise _malformed(f"{self._describe_key(key.value)} occurs twice in an object", key)
                seen.add(name)
        return node

    def _check_depth(self, more: int, where: Any) -> None:
        if self._level + more > self._deepest:
            raise _malformed(f"it is nested more than {self._deepest} deep", where)


class _Extent:
    """How much a node is, with all that its aliases stand for."""

    def __init__(self, *, depth: int) -> None:
        self.nodes = 1
        self.depth = depth

    def add(self, inner: _Extent) -> None:
        self.nodes += inner.nodes
        self.depth = max(self.depth, inner.depth + 1)


def _malformed(problem: str, where: Any) -> MalformedYamlError:
    return MalformedYamlError(problem, where.start_mark.line + 1)
