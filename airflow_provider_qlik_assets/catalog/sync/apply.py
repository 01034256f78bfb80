"""Bring a data store to what is desired: read it once, write what differs, settle what was created.

What is created is settled as an upsert does it: see :mod:`~airflow_provider_qlik_assets.catalog.creation`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qlik_assets.catalog.bulk import Failures, run_bulk
from airflow_provider_qlik_assets.catalog.creation import (
    Creations,
    creation_result,
    keep_changing,
    new_document,
)
from airflow_provider_qlik_assets.catalog.deletion import LastLook, delete_listed, unchanged_since
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards, check_guards
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.catalog.same_name import look_until_visible
from airflow_provider_qlik_assets.catalog.sync.desired import check_store_id, parse_desired
from airflow_provider_qlik_assets.catalog.sync.plan import Plan, make_plan
from airflow_provider_qlik_assets.catalog.upsert import change_named
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.validation import check_bool, check_id, check_mapping, check_seconds

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

_MOST_ROUNDS = 8


class _Job(NamedTuple):
    """What is desired, and the data asset to change; ``None`` creates one."""

    desired: DataAsset
    actual: DataAsset | None

    @property
    def name(self) -> str:
        return self.desired.technical_name or ""


class Sync:
    """Bring a data store to what is desired.

    :param client: the client; writes are sent by several threads.
    :param data_store_id: the data store.
    :param data_assets: see :func:`~airflow_provider_qlik_assets.catalog.sync.desired.parse_desired`.
    :param delete_unlisted: whether to delete the data assets that are not desired.
    :param guards: which of these survive, and how many may be deleted.
    :param own: ids by technical name of the data assets that an earlier part of the same work has created.
    :param visible_after: seconds after which a new data asset is visible to all; ``None`` is
        :data:`~airflow_provider_qlik_assets.catalog.same_name.VISIBLE_AFTER_SECONDS`.
    :param clock: seconds that never go back.
    :raises QlikValidationError: naming everything that is wrong; nothing was sent.
    """

    def __init__(
        self,
        client: QlikCloudClient,
        data_store_id: str,
        data_assets: Any,
        *,
        delete_unlisted: bool = False,
        guards: DeletionGuards | None = None,
        own: Mapping[str, str] | None = None,
        visible_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_bool(delete_unlisted, "delete_unlisted")
        if visible_after is not None:
            check_seconds(visible_after, "visible_after")
        self._client = client
        self._store_id = check_store_id(data_store_id)
        self._desired = {
            desired.technical_name or "": desired for desired in parse_desired(data_assets, data_store_id)
        }
        if delete_unlisted and not self._desired:
            raise QlikValidationError(
                "The list of data assets is empty, and delete_unlisted would delete the whole data store: "
                "nothing was sent. Check where the list comes from."
            )
        self._delete_unlisted = delete_unlisted
        self._guards = DeletionGuards() if guards is None else check_guards(guards)
        self._visible_after = visible_after
        self._clock = clock
        own = {} if own is None else check_mapping(own, "own")
        self._own = {name: check_id(data_asset_id) for name, data_asset_id in own.items()}
        self._failures = Failures(f"Data store {self._store_id}")
        self._desired_results: dict[str, Result] = {}
        self._other_results: dict[str, Result] = {}

    @property
    def results(self) -> list[Result]:
        """What was done so far, in the order that was given; also if :meth:`apply` ended with an error."""
        results = [self._desired_results[name] for name in self._desired if name in self._desired_results]
        return [*results, *self._other_results.values()]

    def plan(self) -> Plan:
        """Read the data store and return what has to be done."""
        plan, looked_at = look_until_visible(self._client, self._read, self._used, self._visible_after)
        return replace(plan, looked_at=looked_at)

    def _used(self, plan: Plan) -> list[DataAsset]:
        """Return the data assets of others that a plan uses."""
        used = [*plan.unchanged, *(update.actual for update in plan.to_update)]
        own = set(self._own.values())
        return [asset for asset in used if asset.id not in own]

    def _read(self) -> Plan:
        return make_plan(
            self._store_id,
            self._desired.values(),
            self._client.list_data_assets(self._store_id),
            delete_unlisted=self._delete_unlisted,
            guards=self._guards,
        )

    def check(self, plan: Plan) -> None:
        """Reject a plan that deletes too much.

        :raises QlikValidationError: naming the guard.
        """
        self._guards.check(len(plan.to_delete), plan.total)

    def apply(self, plan: Plan) -> list[Result]:
        """Carry a plan out.

        :param plan: as :meth:`plan` has just returned it.
        :return: a result for each desired, and for each data asset that was deleted or left alone.
        :raises QlikValidationError: if more would be deleted than the guards allow; nothing was written.
        :raises QlikPartialFailureError: if some data assets failed; all others were written, none deleted.
        :raises QlikCloudError: if an error would hit all others, too. Running it again does what is left.
        """
        self.check(plan)
        for asset in plan.left_alone:
            self._other_results[id_of(asset)] = Result(id_of(asset), "skipped", asset)
        # What was created earlier may be younger than another one of its name that the plan shows already.
        newest = None if self._own else plan.newest
        creations = Creations(
            self._client, self._store_id, newest, plan.looked_at,
            visible_after=self._visible_after, clock=self._clock,
        )  # fmt: skip
        to_do = self._without_own(plan, creations)
        for _ in range(_MOST_ROUNDS):
            for asset in to_do.unchanged:
                self._note_unchanged(asset)
            self._write(to_do, creations)
            if not creations.is_pending:
                break
            with self._saying_what_was_written():
                to_do = self._settle(creations)
        else:
            for name in to_do.names_to_write:
                self._fail(name, keep_changing())
        if self._failures.errors:
            if plan.to_delete:
                logger.warning("Nothing was deleted, because some desired data assets could not be written.")
            raise self._failures.together(self._desired)
        with self._saying_what_was_written():
            self._delete(plan)
        return self.results

    @contextlib.contextmanager
    def _saying_what_was_written(self) -> Iterator[None]:
        """Let an error after the writes begin with their number."""
        try:
            yield
        except QlikCloudError as error:
            written = sum(
                result.action in {"created", "updated"} for result in self._desired_results.values()
            )
            if written:
                error.add_progress(f"{written:,} written.")
            raise

    def _note_unchanged(self, asset: DataAsset) -> None:
        name = asset.technical_name or ""
        if name not in self._desired_results or self._desired_results[name].id != asset.id:
            self._desired_results[name] = Result(id_of(asset), "unchanged", asset)

    def _without_own(self, plan: Plan, creations: Creations) -> Plan:
        """Let what an earlier part of the same work has created be settled; return the rest of a plan."""
        found = [*plan.unchanged, *(update.actual for update in plan.to_update), *plan.left_alone]
        own = {
            asset.technical_name or "": asset
            for asset in found
            if asset.id == self._own.get(asset.technical_name or "")
        }
        for name, asset in own.items():
            creations.note_created_earlier(self._desired[name], asset)
            self._desired_results[name] = creation_result(asset, self._desired[name])
            self._other_results.pop(id_of(asset), None)
        return replace(
            plan,
            unchanged=tuple(asset for asset in plan.unchanged if asset.technical_name not in own),
            to_update=tuple(update for update in plan.to_update if update.actual.technical_name not in own),
        )

    def _write(self, plan: Plan, creations: Creations) -> None:
        """Create and update; what is not known to count yet is noted in the creations."""
        jobs = [_Job(update.desired, update.actual) for update in plan.to_update]
        jobs += [_Job(desired, None) for desired in plan.to_create]
        if not jobs:
            return

        def note_result(job: _Job, result: Result) -> None:
            if job.actual is None and result.data_asset is not None:
                creations.note_created(job.desired, result.data_asset)
            elif (before := self._desired_results.get(job.name)) is not None and before.id == result.id:
                result = replace(result, action="created", changed_fields=before.changed_fields)
            self._desired_results[job.name] = result

        def note_error(job: _Job, error: QlikCloudError) -> None:
            if job.actual is None:
                if not creations.note_error(job.desired, error):
                    self._fail(job.name, error)
            elif isinstance(error, QlikNotFoundError):  # deleted since it was read
                creations.note_missing(job.desired)
            else:
                self._fail(job.name, error)

        run_bulk(
            self._client,
            _do,
            jobs,
            what=f"Data store {self._store_id}",
            done="written",
            on_result=note_result,
            on_error=note_error,
            clock=self._clock,
        )

    def _settle(self, creations: Creations) -> Plan:
        """Find out what became of what was created; return what is still to be done."""
        settled = creations.settle()
        for name, error in settled.failed.items():
            self._fail(name, error)
        for name, asset in settled.created.items():
            self._desired_results[name] = creation_result(asset, self._desired[name])
        for name in [*settled.existing, *settled.absent]:
            self._desired_results.pop(name, None)
        names = [*settled.existing, *settled.created, *settled.absent]
        found = [*settled.existing.values(), *settled.created.values()]
        return make_plan(self._store_id, (self._desired[name] for name in names), found)

    def _fail(self, name: str, error: QlikCloudError) -> None:
        self._failures.note(name, error)
        self._desired_results.pop(name, None)

    def _delete(self, plan: Plan) -> None:
        """Delete what is not desired, apart from what was changed since the plan was made."""
        last_look = LastLook(
            self._client,
            [self._store_id],
            total=plan.total + len(plan.to_create),
            allows=unchanged_since(plan.to_delete),
        )

        def note(result: Result) -> None:
            self._other_results[result.id] = result

        delete_listed(self._client, plan.to_delete, last_look=last_look, on_result=note)


def sync_data_assets(
    client: QlikCloudClient,
    data_store_id: str,
    data_assets: Any,
    *,
    delete_unlisted: bool = False,
    guards: DeletionGuards | None = None,
) -> list[Result]:
    """Bring a data store to what is desired; see :class:`Sync`.

    Fields that are not given stay as they are, ``data_freshness`` never goes back, and nothing is written
    when nothing differs.

    :param data_store_id: the data store.
    :param data_assets: the desired data assets; ``technicalName`` and ``appType`` are required.
    :param delete_unlisted: whether to delete the data assets that are not desired.
    :param guards: which of these survive, and how many may be deleted.
    :return: a result for each desired, and for each data asset that was deleted or left alone.
    """
    sync = Sync(client, data_store_id, data_assets, delete_unlisted=delete_unlisted, guards=guards)
    plan = sync.plan()
    logger.info("%s", plan)
    return sync.apply(plan)


def _do(client: QlikCloudClient, job: _Job) -> Result:
    if job.actual is None:
        return creation_result(client.create_data_asset(new_document(job.desired)), job.desired)
    return change_named(client, job.desired, job.actual)
