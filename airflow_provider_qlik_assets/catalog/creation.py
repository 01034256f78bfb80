"""Create data assets so that one of each name remains, whoever else creates them at the same time.

Whether a tenant allows two data assets of one name in a data store is not documented, and a create whose
answer is lost may still be carried out. So of several of a name the one that was created first counts, for
everybody; what a task has created itself it deletes again if another one was first; and nothing is decided
before it is visible.

1. Only a name that a look at the data store did not find is created.
2. After a create without an answer, the data store is looked at again before another one is sent. What is
   there by then counts as created here only if nothing speaks against it.
3. After each create the newest data assets are looked at: was another one of that name created first?
4. If so, the own one is deleted if it is still as it was created, and if that other one exists.
5. Then that other one is looked at again: if it is gone, the name is created once more, a few times at most.
   What was created and can be neither listed nor read may exist all the same: it is not created again.
6. Nobody uses a data asset before all have had the time to see it.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_qlik_assets.catalog import same_name
from airflow_provider_qlik_assets.catalog.overlay import given_properties
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.catalog.same_name import (
    age,
    first_before,
    is_in_store,
    is_never_changed,
    look_until_visible,
    warn_of_duplicates,
    with_id,
)
from airflow_provider_qlik_assets.catalog.withdrawal import Second, withdraw
from airflow_provider_qlik_assets.client.content import is_as_sent
from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikCloudError,
    QlikConflictError,
    QlikNotFoundError,
    QlikPermissionError,
    QlikResponseError,
    first_few,
)
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.newest_first import SETTLING_SECONDS, NotSortedError, read_newest
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown, settling

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

_MOST_CREATES = 3
_MOST_LOOKS = 5
_SETTLING = timedelta(seconds=SETTLING_SECONDS)


def new_document(desired: DataAsset) -> dict[str, Any]:
    """Return the body of the request that creates a data asset."""
    body = {name: value for name, value in desired.to_request().items() if name != "version"}
    if desired.properties is not None:
        body["properties"] = given_properties(desired)
    return body


def creation_result(asset: DataAsset, desired: DataAsset) -> Result:
    """Return the result for a data asset that was created."""
    return Result(id_of(asset), "created", asset, tuple(sorted(desired.to_request())))


@dataclass
class Settled:
    """What became of names that were to be created.

    :param created: the data assets that were created here, by technical name.
    :param existing: those that others created, as just read.
    :param absent: names that have to be created, still or again.
    :param failed: the errors of those that are given up.
    """

    created: dict[str, DataAsset] = field(default_factory=dict)
    existing: dict[str, DataAsset] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    failed: dict[str, QlikCloudError] = field(default_factory=dict)


class Creations:
    """The creates of one piece of work in one data store, until each is known to count or not.

    Create what is absent, note each outcome, then :meth:`settle`, until nothing is absent any more.

    :param client: the client.
    :param data_store_id: the data store.
    :param newest: when the newest data asset was created that was there when the names were absent; ``None``
        looks at all.
    :param looked_at: the tenant's time before that look; ``None`` looks at all.
    :param visible_after: seconds; ``None`` is :data:`.same_name.VISIBLE_AFTER_SECONDS`.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        client: QlikCloudClient,
        data_store_id: str,
        newest: pendulum.DateTime | None = None,
        looked_at: pendulum.DateTime | None = None,
        *,
        visible_after: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = client
        self._store_id = data_store_id
        self._since = None
        if newest is not None and looked_at is not None:  # an instant of others may be in the future
            self._since = min(newest, looked_at) - _SETTLING
        self._started_at = client.server_now() - _SETTLING
        self._visible_after = same_name.VISIBLE_AFTER_SECONDS if visible_after is None else visible_after
        self._clock = clock or time.monotonic
        self._desired: dict[str, DataAsset] = {}
        self._own: dict[str, DataAsset] = {}
        self._earlier: set[str] = set()
        self._errors: dict[str, QlikCloudError] = {}
        self._attempts: Counter[str] = Counter()
        self._answered_at = self._clock()
        self._user_id: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether there is something to settle."""
        return bool(self._desired)

    def note_created(self, desired: DataAsset, created: DataAsset) -> None:
        """Take note of a create that was answered."""
        name = self._note(desired)
        self._own[name] = created
        self._earlier.discard(name)
        self._errors.pop(name, None)

    def note_created_earlier(self, desired: DataAsset, current: DataAsset) -> None:
        """Take note of what an earlier part of the same work has created, as it is now."""
        self.note_created(desired, current)
        self._earlier.add(desired.technical_name or "")

    def note_error(self, desired: DataAsset, error: QlikCloudError) -> bool:
        """Take note of a create that failed.

        :return: whether :meth:`settle` decides what that means.
        """
        if not (outcome_is_unknown(error) or isinstance(error, QlikConflictError)):
            return False
        self._errors[self._note(desired)] = error
        return True

    def note_missing(self, desired: DataAsset) -> None:
        """Take note that a data asset that was found no longer exists."""
        self._note(desired)
        self._since = None  # another one of that name may be older than what was looked at

    def _note(self, desired: DataAsset) -> str:
        name = desired.technical_name or ""
        self._desired[name] = desired
        self._attempts[name] += 1
        self._answered_at = self._clock()
        return name

    def settle(self) -> Settled:
        """Find out which data asset of each name counts, and delete the own ones that do not.

        :raises QlikCloudError: that could not be found out; what was created is still there.
        """
        settled = Settled()
        with self._saying_what_was_created(settled):
            if same_name.memory.refuses(self._client.base_url):
                self._keep(settled, self._own)
            looks = 0
            while self._desired:
                looks += 1
                self._wait(looks)
                found = self._look()
                second: dict[str, Second] = {}
                for name in list(self._desired):
                    named = found.get(name, [])
                    own = self._own.get(name)
                    if own is None:
                        self._settle_other(settled, name, named)
                    elif (listed := with_id(named, own.id)) is None and not self._client.exists(id_of(own)):
                        self._settle_unseen(settled, name, looks)
                    elif listed is None and self._since is not None:
                        self._since = None  # the tenant's clocks differ: it may be older than what was read
                    elif looks <= _MOST_LOOKS and (first := first_before(named, listed or own)) is not None:
                        second[name] = Second(own, first)
                    else:
                        if len(named) > 1:
                            warn_of_duplicates(self._store_id, named)
                        self._keep(settled, [name], listed)
                if not second:
                    continue
                for name in withdraw(self._client, self._store_id, second, self._is_as_created):
                    del self._own[name]
                    self._use(settled, name, second[name].first)
        return settled

    @contextlib.contextmanager
    def _saying_what_was_created(self, settled: Settled) -> Iterator[None]:
        """Let an error say what was created, and what may have been."""
        try:
            yield
        except QlikCloudError:
            created = [*settled.created.values(), *self._own.values()]
            unknown = (error for error in self._errors.values() if outcome_is_unknown(error))
            try:
                with settling(next(unknown, None), may_start_over=True):
                    raise
            except QlikCloudError as error:
                if created:
                    labels = first_few([asset.label for asset in created])
                    error.outcome = f"Created before that: {labels}. {error.outcome}".rstrip()
                raise

    def _keep(self, settled: Settled, names: Collection[str], listed: DataAsset | None = None) -> None:
        for name in list(names):
            own = self._own[name]
            if own.version is None:  # a create need not be answered with it
                own = listed or self._client.get_data_asset(id_of(own))
            self._end(name)
            del self._own[name]
            settled.created[name] = own
            same_name.memory.note_settled(self._client.base_url, id_of(own))

    def _end(self, name: str) -> None:
        self._desired.pop(name)
        self._errors.pop(name, None)

    def _wait(self, looks: int) -> None:
        """Wait until all can have seen what was created, and what may have been."""
        unknown = [error for error in self._errors.values() if outcome_is_unknown(error)]
        if looks == 1 and not unknown and not self._own and max(self._attempts.values()) == 1:
            return  # what was refused because it exists is most likely visible
        longest = 2.0 ** max(self._attempts[name] for name in self._errors) if unknown else 0.0
        asked = [_asked(error) for error in unknown if not self._asks_for_too_long(error)]
        wait = max(self._visible_after, *asked, random.uniform(0, longest))  # noqa: S311 - jitter
        if (left := wait - (self._clock() - self._answered_at)) > 0:
            self._client.sleep(left)

    def _asks_for_too_long(self, error: QlikCloudError) -> bool:
        """Return whether an answer asked to wait longer than is allowed; its create is not sent again."""
        return _asked(error) > self._client.retry.max_retry_wait

    def _look(self) -> dict[str, list[DataAsset]]:
        """Return the data assets of the names, the oldest of each first; what others created all can see."""
        found, _ = look_until_visible(
            self._client,
            self._named,
            lambda found: [named[0] for name, named in found.items() if name not in self._own],
            self._visible_after,
        )
        return found

    def _named(self) -> dict[str, list[DataAsset]]:
        found: dict[str, list[DataAsset]] = {}
        for asset in self._newest():
            if asset.technical_name in self._desired and is_in_store(asset, self._store_id):
                found.setdefault(asset.technical_name, []).append(asset)
        return {name: sorted(assets, key=age) for name, assets in found.items()}

    def _newest(self) -> Iterable[DataAsset]:
        if self._since is not None:
            try:
                return read_newest(
                    lambda number, order: self._client.read_page(
                        self._store_id, number, sort=order.split(",") if order else None
                    ),
                    "createdTime",
                    attrgetter("created_time"),
                    self._since,
                )
            except NotSortedError:
                self._since = None
        return self._client.list_data_assets(self._store_id)

    def _settle_unseen(self, settled: Settled, name: str, looks: int) -> None:
        """Wait once more for what was created here and is not visible; give it up in the end."""
        self._answered_at = self._clock()
        if looks >= _MOST_LOOKS:
            self._end(name)
            settled.failed[name] = QlikNotFoundError.without_request(
                404,
                f"Data asset {self._own.pop(name).label} was created in data store {self._store_id}, but can "
                "be neither listed nor read: it may exist unseen, or somebody has deleted it. It was not "
                "created again, because there could be two then.",
            )

    def _is_as_created(self, name: str, current: DataAsset) -> bool:
        """Return whether nobody has changed what was created here."""
        own = self._own[name]
        told = [(own.version, current.version), (own.last_modified_time, current.last_modified_time)]
        is_first_told = own.version is not None and name not in self._earlier
        return (
            all(before in {None, after} for before, after in told)
            and (is_first_told or is_never_changed(current))
            and is_as_sent(current, new_document(self._desired[name]))
        )

    def _settle_other(self, settled: Settled, name: str, found: list[DataAsset]) -> None:
        """Settle a name of which nobody knows whether anything was created here."""
        error = self._errors.get(name)
        if found:
            if isinstance(error, QlikConflictError):
                same_name.memory.note_refusal(self._client.base_url)
            if error is not None and outcome_is_unknown(error) and self._may_be_own(name, found):
                self._own[name] = found[0]
                self._keep(settled, [name], found[0])
            else:
                if len(found) > 1:
                    warn_of_duplicates(self._store_id, found)
                self._use(settled, name, found[0])
        elif self._attempts[name] >= _MOST_CREATES or (
            error is not None and (isinstance(error, QlikResponseError) or self._asks_for_too_long(error))
        ):
            self._end(name)
            settled.failed[name] = error or keep_changing()
        else:
            self._end(name)
            settled.absent.add(name)

    def _may_be_own(self, name: str, found: list[DataAsset]) -> bool:
        """Return whether nothing speaks against that the only data asset of a name was created here."""
        (asset, *others) = found
        return (
            not others
            and is_never_changed(asset)
            and asset.created_time is not None
            and asset.created_time >= self._started_at
            and is_as_sent(asset, new_document(self._desired[name]))
            and asset.created_by in {None, self._me()}
        )

    def _me(self) -> str:
        if self._user_id is None:
            try:
                self._user_id = str(self._client.me().get("id"))
            except (QlikPermissionError, QlikNotFoundError):
                self._user_id = ""
        return self._user_id

    def _use(self, settled: Settled, name: str, asset: DataAsset) -> None:
        """Use what another one created, if it is still there."""
        try:
            current = self._client.get_data_asset(id_of(asset))
        except QlikNotFoundError as error:
            self._errors.pop(name, None)
            self._attempts[name] += 1
            if self._attempts[name] > _MOST_LOOKS:
                self._end(name)
                settled.failed[name] = error
            return  # the next look tells
        self._end(name)
        settled.existing[name] = current
        same_name.memory.note_settled(self._client.base_url, id_of(current))


def keep_changing() -> QlikConflictError:
    """Return the error for a name that others keep creating and deleting."""
    return QlikConflictError.without_request(
        409, "Other writers keep creating and deleting data assets of this name."
    )


def _asked(error: QlikCloudError) -> float:
    """Return the seconds that an answer asked to wait."""
    return (error.retry_after or 0.0) if isinstance(error, QlikApiError) else 0.0
