"""Pages of listings: parameters, projections, links and how documents are shown."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from airflow_provider_qlik_assets.sandbox.documents import TEXTS, Document
from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings

DEFAULT_LIMIT = 20
MAXIMUM_LIMIT = 100
LARGEST_NUMBER = 999_999_999
#: Lists and objects have no order.
UNSORTABLE = frozenset({"tags", "properties", "dataStoreInfo"})
_UNDOCUMENTED = ("sandboxInternal", {"shard": 7})


def projected(text: str | None, fields: Sequence[str], settings: SandboxSettings) -> tuple[str, ...] | None:
    """Return the fields that a ``projections`` parameter asks for, ``None`` for all.

    :param fields: names that exist.
    :raises SandboxError: 400 for an unknown field, if the switch says so.
    """
    if text is None:
        return None
    asked = text.split(",")
    unknown = [name for name in asked if name not in fields]
    if unknown and settings.unknown_projection == "refused":
        raise SandboxError(400, *(f"projections: {name!r} is not a field" for name in unknown))
    known = [name for name in fields if name in asked]
    if "id" not in known and settings.id_in_projections == "always":
        known.insert(0, "id")
    return tuple(known)


def shown(
    document: Document, fields: Sequence[str], projection: tuple[str, ...] | None, settings: SandboxSettings
) -> dict[str, Any]:
    """Return a document as a reply shows it.

    :param fields: every documented field of its kind.
    :param projection: the fields asked for, ``None`` for all.
    """
    if settings.unset_fields == "null":
        result = {name: document.get(name) for name in (fields if projection is None else projection)}
    elif projection is None:
        result = dict(document)
    else:
        result = {name: document[name] for name in projection if name in document}
    if settings.unset_fields == "empty text":
        result.update(
            (name, "")
            for name in TEXTS
            if name not in document and (projection is None or name in projection)
        )
    if settings.undocumented_field:
        name, value = _UNDOCUMENTED
        result[name] = value
    return result


def sort_fields(text: str | None, fields: Sequence[str], settings: SandboxSettings) -> tuple[str, ...]:
    """Return the fields of a ``sort`` parameter, a leading ``-`` left in place.

    :raises SandboxError: 400 for an unknown or unsortable field, or any when the switch says so.
    """
    if text is None:
        return ()
    if settings.sort_refused:
        raise SandboxError(400, "sort: is not supported")
    asked = tuple(text.split(","))
    if len(asked) > 1 and not settings.sort_by_two:
        raise SandboxError(400, "sort: only one field is supported")
    wrong = [name for name in asked if name.removeprefix("-") not in set(fields) - UNSORTABLE]
    if wrong:
        raise SandboxError(400, *(f"sort: {name!r} is not a field to sort by" for name in wrong))
    return () if settings.sort_ignored else asked


def page_of(
    documents: Sequence[Document], url: str, query: Mapping[str, str], settings: SandboxSettings
) -> tuple[Sequence[Document], dict[str, Any]]:
    """Cut a page out of a listing.

    :param url: address of the listing, absolute or relative, without query.
    :param query: the request's parameters, repeated in the links.
    :return: the documents of the page, and the page's other members.
    :raises SandboxError: 400 for a bad ``limit`` or ``page``.
    """
    limit = _number(query, "limit", DEFAULT_LIMIT, minimum=1)
    if limit > MAXIMUM_LIMIT:
        if settings.limit_over_maximum == "refused":
            raise SandboxError(400, f"limit: must be at most {MAXIMUM_LIMIT}")
        limit = MAXIMUM_LIMIT
    page = _number(query, "page", 0, minimum=0)
    total = len(documents)
    pages = -(-total // limit)

    def link(number: int) -> dict[str, str]:
        return {"href": f"{url}?{urlencode({**query, 'limit': limit, 'page': number})}"}

    links: dict[str, Any] = {"first": link(0), "last": link(max(0, pages - 1)), "self": link(page)}
    for name, number, exists in (("next", page + 1, page + 1 < pages), ("prev", page - 1, page > 0)):
        if exists:
            links[name] = link(number)
        elif settings.missing_link != "absent":
            links[name] = {"href": ""} if settings.missing_link == "empty" else None
    rest = {"page": page, "limit": limit, "pages": pages, "total": total, "links": links}
    return documents[page * limit : (page + 1) * limit], rest


def _number(query: Mapping[str, str], name: str, default: int, *, minimum: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < minimum:
        raise SandboxError(400, f"{name}: must be a whole number from {minimum} to {LARGEST_NUMBER}")
    return int(text)
