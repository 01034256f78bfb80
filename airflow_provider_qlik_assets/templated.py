"""The arguments of a task as given in the DAG file, and as rendered when the task runs.

Airflow renders the template fields of a task right before it runs, except values that ``.expand()`` maps from
the result of another task. It recognizes such a value by its identity. The operators therefore keep every
object as given and convert it when the task runs: a copy would be rendered, whatever text it contains.

A template or mapped value that became empty is an error: ``None`` has a meaning (clear this field, set no
limit), but the DAG file does not contain it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from jinja2 import Undefined

from airflow_provider_qlik_assets.arguments import from_rendered, has_template, is_known, plain, templatable
from airflow_provider_qlik_assets.client.errors import QlikValidationError, first_few, shorten

_FRESHNESS = frozenset({"dataFreshness", "data_freshness"})
# Empty text counts as no value for these, too.
_REQUIRED = _FRESHNESS | {"id"}
_CONTAINERS = (list, tuple)
_PACKAGE = __name__.partition(".")[0]
# Stands for a mapped argument that another task returned.
_MAPPED = object()


class TemplatedArguments:
    """Base of operators and sensors that keep their arguments as given and know which had templates."""

    template_fields: Collection[str]

    argument_names: ClassVar[Mapping[str, str]] = {}
    """Names of the arguments whose template field has another name."""

    document_fields: ClassVar[Collection[str]] = ()
    """Template fields with data assets or changes to them; in others, empty text counts as no value, too."""

    keeps_freshness: ClassVar[bool] = False
    """Whether ``dataFreshness: None`` in an object that a task returned leaves the freshness unchanged."""

    _written: Mapping[str, Any] | None = None

    @classmethod
    def partial(cls, **arguments: Any) -> Any:
        """Set arguments for all mapped tasks, like ``partial`` of every operator.

        Iterators, which only the first task could read, become lists; everything else is kept as is.
        """
        names = {cls.argument_names.get(field, field) for field in cls.template_fields}
        kept = {name: templatable(value) if name in names else value for name, value in arguments.items()}
        return super().partial(**kept)  # type: ignore[misc]

    def _is_in_dag_file(self) -> bool:
        """Return whether all arguments come from the DAG file, so that they can be checked now.

        Otherwise Airflow has created this operator for a running mapped task, and some arguments may be data;
        or the DAG changes the template syntax. Only in the DAG file, objects that Airflow would not search
        for templates are replaced.

        :raises QlikValidationError: if there is a template where Airflow does not render it.
        """
        if getattr(self, "_BaseOperator__from_mapped", False):
            return False
        for field in self._fields():
            given = getattr(self, field)
            if (value := templatable(given)) is not given:
                setattr(self, field, value)
            _check_keys(value, self._argument_name(field))
        return not self._has_other_marks()

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Any, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        """Remember what is rendered. Airflow always renders mapped tasks this way."""
        if parent is self:
            written = {}
            for field in self._fields():
                value = getattr(self, field)
                if self._is_returned(field, value, context):
                    written[field] = _MAPPED
                else:
                    written[field] = templatable(value)
                    if written[field] is not value:
                        setattr(self, field, written[field])
            self._written = written
        super()._do_render_template_fields(  # type: ignore[misc]
            parent, template_fields, context, jinja_env, seen_oids
        )

    def _check_rendered(self) -> None:
        """Check that every template of the DAG file gave a value; call it before anything is sent.

        Sequences that Airflow fetches item by item, such as the output of a mapped task, are fetched here.

        :raises QlikValidationError: naming the arguments, and the values in them.
        """
        lost: list[str] = []
        for field, written in (self._written or {}).items():
            name = self._argument_name(field)
            _check_keys(written, name)
            search = _Search(
                is_document=field in self.document_fields,
                keeps_freshness=self.keeps_freshness and field in self.document_fields,
            )
            value = plain(getattr(self, field))
            setattr(self, field, value)
            lost += search.lost(written, value if isinstance(written, Mapping) else _parsed(value), name)
        if lost:
            raise QlikValidationError(
                f"{first_few(lost, 20)} when the task ran: the template, or the task whose result it "
                "uses, gave no value (a skipped task gives none). To keep a field, leave it out. To clear "
                "it, or to set no limit, write None in the DAG file. To clear it in some runs only, use a "
                "'remove' operation of the patch operator."
            )

    def _argument(self, field: str) -> Any:
        """Return a rendered argument as plain dicts and lists; JSON text is parsed."""
        return from_rendered(plain(getattr(self, field)), self._argument_name(field))

    def _has_other_marks(self) -> bool:
        """Return whether the DAG changes the template syntax, so that templates cannot be recognized."""
        options = self.dag.jinja_environment_kwargs if self.has_dag() else None  # type: ignore[attr-defined]
        return any(name.endswith(("_string", "_prefix")) for name in options or {})

    def _argument_name(self, field: str) -> str:
        return self.argument_names.get(field, field)

    def _fields(self) -> list[str]:
        """Return the template fields of the operator, except those that a user's subclass adds."""
        kind: Any = next(kind for kind in type(self).__mro__ if kind.__module__.partition(".")[0] == _PACKAGE)
        return [
            field for field in kind.template_fields if field in self.template_fields and hasattr(self, field)
        ]

    def _is_returned(self, field: str, value: Any, context: Any) -> bool:
        """Return whether another task returned an argument; ``True`` in case of doubt."""
        if not getattr(self, "_BaseOperator__from_mapped", False):
            return False
        name = self._argument_name(field)
        task = self.dag.task_dict.get(self.task_id)  # type: ignore[attr-defined]
        try:
            rows, partial = task.expand_input.value, task.partial_kwargs
        except AttributeError:
            return True
        if isinstance(rows, Mapping):
            return hasattr(rows.get(name), "resolve")
        if not hasattr(rows, "resolve") and not hasattr(rows[context["ti"].map_index], "resolve"):
            return False
        given = getattr(self, "_BaseOperator__init_kwargs", {name: value})
        dag_defaults = self.dag.default_args or {}  # type: ignore[attr-defined]
        defaults = (partial, partial.get("default_args") or {}, dag_defaults)
        return name in given and not any(name in source and source[name] is value for source in defaults)


class _Search:
    """Find empty values where the DAG file had a template.

    :param is_document: whether the argument contains data assets or changes to them.
    :param keeps_freshness: whether ``dataFreshness: None`` is allowed inside an object that a task returned.
    """

    def __init__(self, *, is_document: bool, keeps_freshness: bool) -> None:
        self._is_document = is_document
        self._keeps_freshness = keeps_freshness

    def lost(
        self, written: Any, value: Any, path: str, key: Any = None, *, in_properties: bool = False
    ) -> Iterator[str]:
        """Yield the paths of empty values, with the values.

        :param written: the value in the DAG file.
        :param value: the rendered value.
        :param path: the path of the value, for the message.
        :param key: name of the field with this value.
        :param in_properties: whether it is inside ``properties``, whose names have no meaning here.
        """
        inside = in_properties or key == "properties"
        if isinstance(written, Mapping):
            if isinstance(value, Mapping):
                for name, item in written.items():
                    if name in value:
                        place = f"{path}.{name}"
                        yield from self.lost(item, value[name], place, name, in_properties=inside)
        elif isinstance(written, _CONTAINERS):
            if isinstance(value, _CONTAINERS):
                for index, (item, new) in enumerate(zip(written, value, strict=False)):
                    yield from self.lost(item, new, f"{path}[{index}]", in_properties=inside)
        elif not is_known(written) or (isinstance(written, str) and value != written):
            yield from self._nothing(value, path, key, in_properties=in_properties)

    def _nothing(self, value: Any, path: str, key: Any, *, in_properties: bool) -> Iterator[str]:
        inside = in_properties or key == "properties"
        if isinstance(value, Mapping):
            for name, item in value.items():
                optional = self._keeps_freshness and not inside and name in _FRESHNESS
                if not (optional and item is None):
                    yield from self._nothing(item, f"{path}.{name}", name, in_properties=inside)
        elif isinstance(value, (*_CONTAINERS, set, frozenset)):
            for index, item in enumerate(value):
                yield from self._nothing(item, f"{path}[{index}]", None, in_properties=inside)
        elif (
            value is None
            or isinstance(value, Undefined)
            or (isinstance(value, str) and self._means_nothing(value, key, inside))
        ):
            yield f"{path} became {value!r}"

    def _means_nothing(self, text: str, key: Any, in_properties: bool) -> bool:
        needed = not self._is_document or (key in _REQUIRED and not in_properties)
        return text.strip() == "None" or (needed and not text.strip())


def _parsed(value: Any) -> Any:
    """Return the value of JSON text, and anything else unchanged."""
    if isinstance(value, str) and (value.strip().startswith(("[", "{")) or value.strip() == "null"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _check_keys(value: Any, path: str) -> None:
    """Reject templates in names.

    :raises QlikValidationError: naming the path.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if has_template(key):
                raise QlikValidationError(
                    f"{path} has a template in the name {shorten(repr(key), 80)}, but Airflow does not "
                    "render names: write the name itself, or let a task return the whole object."
                )
            _check_keys(item, f"{path}.{key}")
    elif isinstance(value, _CONTAINERS):
        for index, item in enumerate(value):
            _check_keys(item, f"{path}[{index}]")
