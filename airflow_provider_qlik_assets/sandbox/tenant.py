"""The tenant's data stores and data assets, in memory."""

import copy
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from airflow_provider_qlik_assets.sandbox import documents
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.identity import TENANT_ID, Identity, User
from airflow_provider_qlik_assets.sandbox.patching import patched
from airflow_provider_qlik_assets.sandbox.quota import RequestQuota
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings


@dataclass(frozen=True)
class Kind:
    """What distinguishes data assets from data stores."""

    name: str
    fields: tuple[str, ...]
    new: type[BaseModel]
    changed: type[BaseModel]

    @property
    def parameter(self) -> str:
        """Name of the id in a route."""
        return f"{self.name.replace(' ', '_')}_id"


ASSET = Kind("data asset", documents.ASSET_FIELDS, documents.NewDataAsset, documents.ChangedDataAsset)
STORE = Kind("data store", documents.STORE_FIELDS, documents.NewDataStore, documents.ChangedDataStore)


class Tenant:
    """All state that requests share; public methods take the lock, documents are never changed in place.

    :param settings: the switches.
    :param clock: seconds that never go back.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.identity = Identity(settings, clock)
        self.quota = RequestQuota(settings, clock)
        self._documents: dict[Kind, dict[str, Document]] = {ASSET: {}, STORE: {}}
        self._names: dict[tuple[str, str], set[str]] = {}
        self._sorted: dict[tuple[Any, ...], list[Document]] = {}
        self._random = random.Random(0)  # noqa: S311 - an order, not a secret

    def clear(self) -> None:
        """Forget everything but the switches, the API keys and the OAuth client."""
        with self.lock:
            self.identity.clear()
            self.quota.clear()
            for kept in self._documents.values():
                kept.clear()
            self._names.clear()
            self._sorted.clear()

    def snapshot(self, kind: Kind) -> dict[str, Document]:
        """Return a deep copy of all documents by id."""
        with self.lock:
            return copy.deepcopy(self._documents[kind])

    def get(self, kind: Kind, key: str) -> Document:
        """Return a document, not to be changed.

        :raises SandboxError: 404.
        """
        with self.lock:
            try:
                return self._documents[kind][key]
            except KeyError:
                raise SandboxError(404, f"There is no {kind.name} with the id {key}.") from None

    def create(self, kind: Kind, body: Any, user: User) -> Document:
        """Create a document from a request body.

        :raises SandboxError: 400, 404 for an unknown store, 409 for a natural key that is taken.
        """
        fields = documents.written_fields(self._checked(kind.new, body))
        with self.lock:
            return self._place(kind, str(uuid.uuid4()), fields, user.id)

    def seed(self, kind: Kind, fields: Document) -> Document:
        """Put a document in place as if it had always been there; read-only fields and the id may be given.

        :raises SandboxError: 400 for fields that no request could set, 404 for an unknown store.
        """
        given = {"id": str(uuid.uuid4()), **fields}
        with self.lock:
            if given["id"] in self._documents[kind]:
                raise SandboxError(409, f"The {kind.name} {given['id']} already exists.")
            own = {name: given[name] for name in (*documents.READ_ONLY_FIELDS, "version") if name in given}
            for name in own.keys() & {"createdTime", "lastModifiedTime"}:
                own[name] = documents.normal_instant(own[name])
            body = {name: value for name, value in given.items() if name not in ("id", *own)}
            written = documents.written_fields(documents.check(kind.new, body))
            return {**self._place(kind, given["id"], written, "user-seed", unique=False, own=own)}

    def put(self, kind: Kind, key: str, body: Any, user: User) -> Document:
        """Replace a document.

        :raises SandboxError: 400, 404, 409 or ``stale_version_status``.
        """
        request: Any = self._checked(kind.changed, body)
        if request.id not in (None, key):
            raise SandboxError(400, "id: is not the id in the path")
        with self.lock:
            old = self.get(kind, key)
            if request.version != old["version"]:
                raise SandboxError(
                    self.settings.stale_version_status,
                    f"version: is {old['version']}, the request is for {request.version}",
                )
            fields = documents.written_fields(request)
            return self._change(kind, old, {"ownerId": old["ownerId"], **fields}, user.id)

    def patch(self, kind: Kind, key: str, body: Any, user: User) -> Document:
        """Apply a JSON Patch; one that changes id, version or a read-only field is refused.

        :raises SandboxError: 400, 404, 409 or ``failed_test_status``.
        """
        with self.lock:
            old = self.get(kind, key)
            nulls = self.settings.unset_fields == "null" or self.settings.replace_unset == "allowed"
            before = {**dict.fromkeys(kind.fields), **old} if nulls else old
            empty = self.settings.unset_fields == "empty text"
            texts = {name: "" for name in documents.TEXTS if empty and name not in old}
            before = {**before, **texts}
            after = {
                name: value
                for name, value in patched(before, body, self.settings).items()
                if value != "" or name not in texts
            }
            for name in ("id", "version", *sorted(documents.READ_ONLY_FIELDS)):
                if after.get(name) != before.get(name):
                    raise SandboxError(400, f"{name}: is read-only")
            fields = documents.written_fields(self._checked(kind.changed, after))
            return self._change(kind, old, {"ownerId": old["ownerId"], **fields}, user.id)

    def touch(self, kind: Kind, key: str, fields: Document) -> Document:
        """Change fields as another user would: with a new version, whatever the switches say.

        :param fields: new values; ``None`` unsets. ``lastModifiedTime`` is now unless given.
        """
        modified = fields.get("lastModifiedTime")
        own = {} if modified is None else {"lastModifiedTime": documents.normal_instant(modified)}
        with self.lock:
            old = self.get(kind, key)
            written = documents.written_fields(documents.check(kind.changed, {**old, **fields}))
            return self._place(kind, key, written, "user-somebody-else", old=old, unique=False, own=own)

    def delete(self, kind: Kind, body: Any) -> None:
        """Delete documents by id, all or none.

        :raises SandboxError: 400, 404 for unknown ids, 409 for stores that are not empty.
        """
        request: Any = self._checked(documents.Ids, body)
        most = self.settings.max_delete_ids
        if most is not None and len(request.ids) > most:
            raise SandboxError(400, f"ids: at most {most} are allowed, {len(request.ids)} were given")
        with self.lock:
            known = self._documents[kind]
            unknown = [key for key in request.ids if key not in known]
            if unknown and self.settings.unknown_delete_ids == "refused":
                raise SandboxError(404, *(f"There is no {kind.name} with the id {key}." for key in unknown))
            keys = [key for key in request.ids if key in known]
            if kind is STORE:
                used = {store_of(asset) for asset in self._documents[ASSET].values()}
                full = [key for key in keys if key in used]
                if full:
                    raise SandboxError(409, *(f"The data store {key} is not empty." for key in full))
            self._remove(kind, keys)

    def known_stores(self, keys: Collection[str]) -> set[str]:
        """Return those of the ids that are data stores."""
        with self.lock:
            return set(keys) & self._documents[STORE].keys()

    def delete_assets_of(self, stores: Sequence[str] | None) -> None:
        """Delete all assets of stores, of every store for ``None``.

        :raises SandboxError: 404 for an unknown store.
        """
        with self.lock:
            for store in stores or ():
                self.get(STORE, store)
            assets = self._documents[ASSET].items()
            self._remove(ASSET, [key for key, asset in assets if stores is None or store_of(asset) in stores])

    def listed(self, kind: Kind, stores: Collection[str] | None, sort: tuple[str, ...]) -> list[Document]:
        """Return documents in order, neither list nor documents to be changed.

        Kept until something changes, because a listing is read page by page. Without sort the order is that
        of the ids: unrelated to creation, as "unspecified" allows.

        :param stores: for assets, the ids of their stores; ``None`` means all.
        :param sort: field names, a leading ``-`` means descending; ties are in order of the ids, unless the
            switch says otherwise.
        """
        key = (kind, None if stores is None else frozenset(stores), sort)
        if sort and self.settings.unstable_ties:
            with self.lock:
                unsorted = self.listed(kind, stores, ())
                return _in_order(self._random.sample(unsorted, len(unsorted)), sort)
        with self.lock:
            found = self._sorted.get(key)
            if found is None:
                found = [
                    document
                    for document in self._documents[kind].values()
                    if stores is None or store_of(document) in stores
                ]
                self._sorted[key] = _in_order(found, (*sort, "id"))
            return found

    def _checked(self, model: type[BaseModel], body: Any) -> BaseModel:
        return documents.check(model, body, ignore_unknown=self.settings.unknown_request_fields == "ignored")

    def _change(self, kind: Kind, old: Document, fields: Document, user_id: str) -> Document:
        if not self.settings.unchanged_write_raises_version and fields == documents.written_part(old):
            return old
        return self._place(kind, old["id"], fields, user_id, old=old)

    def _place(
        self,
        kind: Kind,
        key: str,
        fields: Document,
        user_id: str,
        *,
        old: Document | None = None,
        own: Document | None = None,
        unique: bool = True,
    ) -> Document:
        """Put a document where ``old`` is or was not, as a new version.

        :param fields: what the writer set.
        :param own: values of the fields that the tenant sets, for a seed.
        :param unique: refuse an asset whose natural key another one has, if the switch says so.
        """
        name = self._natural_key(fields)
        if kind is ASSET and name is not None:
            taken = self._names.get(name, set()) - {key}
            if taken and unique and self.settings.duplicate_technical_name == "refused":
                raise SandboxError(
                    409, f"The store {name[0]} has an asset with the technicalName {name[1]} already."
                )
        if "dataStoreInfo" in fields:
            store = self.get(STORE, fields["dataStoreInfo"]["id"])
            info = {part: store[part] for part in ("id", "name", "type") if part in store}
            fields = {**fields, "dataStoreInfo": info}
        instant = documents.now()
        document = {
            "ownerId": user_id,
            "tenantId": TENANT_ID,
            "createdBy": old["createdBy"] if old else user_id,
            "createdTime": old["createdTime"] if old else instant,
            "lastModifiedBy": user_id,
            "lastModifiedTime": instant,
            **fields,
            "id": key,
            "version": old["version"] + 1 if old else self.settings.first_version,
            **(own or {}),
        }
        if old is not None:
            self._forget_name(old)
        self._documents[kind][key] = document
        if kind is ASSET and name is not None:
            self._names.setdefault(name, set()).add(key)
        self._sorted.clear()
        return document

    def _remove(self, kind: Kind, keys: Collection[str]) -> None:
        for key in keys:
            self._forget_name(self._documents[kind].pop(key))
        self._sorted.clear()

    def _forget_name(self, document: Document) -> None:
        self._names.get(self._natural_key(document) or ("", ""), set()).discard(document["id"])

    @staticmethod
    def _natural_key(fields: Document) -> tuple[str, str] | None:
        store = store_of(fields)
        return None if store is None else (store, fields["technicalName"])


def store_of(asset: Document) -> str | None:
    """Return the id of an asset's store."""
    store: str | None = asset.get("dataStoreInfo", {}).get("id")
    return store


def _in_order(found: list[Document], sort: Sequence[str]) -> list[Document]:
    for field in reversed(sort):
        name = field.removeprefix("-")
        found.sort(key=partial(_sort_key, name), reverse=field != name)
    return found


def _sort_key(name: str, document: Document) -> tuple[bool, Any]:
    value = document.get(name)
    return value is not None, value
