"""Make a data store match the desired data assets: read it, write what differs, confirm what was created.

A create is not repeated before the data store was read again. After creating, it is read again in any case,
because another task may have created the same data asset at the same moment: all tasks keep the oldest, and
each deletes only what it has just created itself.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_qlik_assets.catalog.bulk import Failures, run_bulk
from airflow_provider_qlik_assets.catalog.compare_and_set import change
from airflow_provider_qlik_assets.catalog.creation import creation_result, new_document
from airflow_provider_qlik_assets.catalog.deletion import delete_listed
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.catalog.sync.desired import check_store_id, parse_desired
from airflow_provider_qlik_assets.catalog.sync.plan import Plan, make_plan
from airflow_provider_qlik_assets.client.content import is_as_sent
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikConflictError,
    QlikNotFoundError,
    QlikResponseError,
    QlikValidationError,
    first_few,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

_MOST_ATTEMPTS = 3


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
    :param clock: seconds that never go back, for the progress.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
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
        self._guards = guards or DeletionGuards()
        self._clock = clock
        self._own = dict(own or {})
        self._unanswered: set[str] = set()
        self._in_doubt: dict[str, QlikCloudError] = {}
        self._attempts: Counter[str] = Counter()
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
        for asset in plan.protected:
            self._other_results[id_of(asset)] = Result(id_of(asset), "skipped", asset)
        to_do = plan
        while True:
            self._accept(to_do)
            unconfirmed = self._write(to_do)
            if not unconfirmed:
                break
            with self._saying_what_was_written():
                to_do = self._confirm(unconfirmed)
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

    def _accept(self, plan: Plan) -> None:
        """Note what is there already, and remove younger duplicates that were created here."""
        for asset in plan.unchanged:
            name = asset.technical_name or ""
            if name not in self._desired_results or self._desired_results[name].id != asset.id:
                own = self._is_own(asset)
                self._desired_results[name] = (
                    creation_result(asset, self._desired[name])
                    if own
                    else Result(id_of(asset), "unchanged", asset)
                )
        for update in plan.to_update:
            name = update.actual.technical_name or ""
            self._desired_results.pop(name, None)
            if self._is_own(update.actual):
                self._desired_results[name] = creation_result(update.actual, update.desired)
        duplicates = []
        for conflict in plan.conflicts:
            for asset in conflict.others:
                if self._is_own(asset):
                    duplicates.append(asset)
                else:
                    self._other_results[id_of(asset)] = Result(id_of(asset), "skipped", asset)
        if duplicates:
            logger.warning(
                "Another task created %d data assets at the same moment; keeping those, deleting ours: %s.",
                len(duplicates),
                first_few([asset.technical_name or "" for asset in duplicates]),
            )
        for _ in delete_listed(self._client, duplicates):
            pass

    def _is_own(self, asset: DataAsset) -> bool:
        """Return whether a data asset was created here, as far as can be determined."""
        name = asset.technical_name or ""
        return asset.id == self._own.get(name) or (
            name in self._unanswered and is_as_sent(asset, new_document(self._desired[name]))
        )

    def _write(self, plan: Plan) -> set[str]:
        """Create and update; return the names that the next reading of the data store has to confirm."""
        jobs = [_Job(update.desired, update.actual) for update in plan.to_update]
        jobs += [_Job(desired, None) for desired in plan.to_create]
        if not jobs:
            return set()
        run_bulk(
            self._client,
            _do,
            jobs,
            what=f"Data store {self._store_id}",
            done="written",
            on_result=self._note_result,
            on_error=self._note_error,
            clock=self._clock,
        )
        created = {desired.technical_name or "" for desired in plan.to_create}
        return self._in_doubt.keys() | (created & self._desired_results.keys())

    def _note_result(self, job: _Job, result: Result) -> None:
        if job.actual is None:
            self._own[job.name] = result.id
        elif (before := self._desired_results.get(job.name)) is not None:
            result = replace(result, action="created", changed_fields=before.changed_fields)
        self._desired_results[job.name] = result

    def _note_error(self, job: _Job, error: QlikCloudError) -> None:
        """Record a failure, unless the next reading of the data store may settle it."""
        self._attempts[job.name] += 1
        if job.actual is None:
            if outcome_is_unknown(error):
                self._unanswered.add(job.name)
            settles = outcome_is_unknown(error) or isinstance(error, QlikConflictError)
        else:  # deleted in the meantime, so it must be created
            settles = isinstance(error, QlikNotFoundError) and self._attempts[job.name] < _MOST_ATTEMPTS
        if settles:
            self._in_doubt[job.name] = error
        else:
            self._fail(job.name, error)

    def _fail(self, name: str, error: QlikCloudError) -> None:
        self._failures.note(name, error)
        self._desired_results.pop(name, None)

    def _confirm(self, names: set[str]) -> Plan:
        """Read the data store again; return what is still to be done for some names."""
        if self._in_doubt:
            longest = 2.0 ** max(self._attempts[name] for name in self._in_doubt)
            self._client.sleep(random.uniform(0, longest))  # noqa: S311 - jitter
        actual = [
            asset for asset in self._client.list_data_assets(self._store_id) if asset.technical_name in names
        ]
        listed = {asset.technical_name for asset in actual}
        for name in names - listed:
            error = self._in_doubt.get(name)
            # The answer said what it is; where a listing lags behind, creating it again would double it.
            if error is None:
                names = names - {name}
            elif self._attempts[name] >= _MOST_ATTEMPTS or isinstance(error, QlikResponseError):
                self._fail(name, error)
                names = names - {name}
        self._in_doubt.clear()
        return make_plan(self._store_id, (self._desired[name] for name in sorted(names)), actual)

    def _delete(self, plan: Plan) -> None:
        """Delete what is not desired, apart from what was changed since the plan was made."""
        if not plan.to_delete:
            return
        current = {asset.id: asset for asset in self._client.list_data_assets(self._store_id)}
        to_delete = []
        for asset in plan.to_delete:
            found = current.get(asset.id)
            if found is None:
                self._other_results[id_of(asset)] = Result(id_of(asset), "missing")
            elif _state(found) != _state(asset):
                logger.info("Data asset %s was changed in the meantime and is not deleted.", asset.label)
                self._other_results[id_of(asset)] = Result(id_of(asset), "skipped", found)
            else:
                to_delete.append(found)
        self._guards.check(len(to_delete), len(current))
        for result in delete_listed(self._client, to_delete):
            self._other_results[result.id] = result


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
    return change(
        client,
        id_of(job.actual),
        lambda current: overlay(current, job.desired),
        current=job.actual,
    )


def _state(asset: DataAsset) -> tuple[Any, ...]:
    """Return what changes with every write."""
    return (asset.version, asset.last_modified_time)
