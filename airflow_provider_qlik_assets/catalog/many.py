"""Do the same with many data assets: several at a time, and what fails does not stop the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.progress import Progress
from airflow_provider_qlik_assets.catalog.workers import Breaker, Workers
from airflow_provider_qlik_assets.client.errors import QlikCloudError, QlikPartialFailureError
from airflow_provider_qlik_assets.client.rate_limit import Tier

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.catalog.results import Result
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = logging.getLogger(__name__)

_MOST_LOGGED_FAILURES = 20


def change_many(
    client: QlikCloudClient,
    change: Callable[[QlikCloudClient, str], Result],
    data_asset_ids: Iterable[str],
    *,
    what: str,
) -> Iterator[Result]:
    """Change many data assets, several at a time.

    :param client: the client whose quota and waits count; the threads have one of their own.
    :param change: changes the data asset of an id; called in several threads at once.
    :param data_asset_ids: different ids.
    :param what: what is done, for the log.
    :return: the results of those that did not fail, in the order given.
    :raises QlikPartialFailureError: at the end, if several failed.
    :raises QlikCloudError: at the end, if one failed; or an error that would hit all others, too, and after
        which no other was begun.
    """
    ids = list(data_asset_ids)
    if len(ids) == 1:
        yield change(client, ids[0])
        return
    outcomes: dict[str, Result | QlikCloudError] = {}
    ended_by: list[QlikCloudError] = []
    breaker, failed = Breaker(), 0
    progress = Progress(what, len(ids), wait=partial(client.rate_limit_wait, Tier.TWO))

    def note(data_asset_id: str, outcome: Result | QlikCloudError) -> None:
        nonlocal failed
        progress.done += 1
        outcomes[data_asset_id] = outcome
        opened = breaker.opens(outcome)
        if isinstance(outcome, QlikCloudError):
            failed += 1
            if failed <= _MOST_LOGGED_FAILURES:
                logger.warning("%s: %s failed. %s", what, data_asset_id, outcome)
            if opened:
                ended_by.append(outcome)
                workers.stop()

    if ids:
        with Workers(client, change, on_done=note, on_tick=progress.tick) as workers:
            workers.run(ids)
    failures: dict[str, QlikCloudError] = {}
    for data_asset_id in ids:
        outcome = outcomes.get(data_asset_id)
        if isinstance(outcome, QlikCloudError):
            failures[data_asset_id] = outcome
        elif outcome is not None:
            yield outcome
    if ended_by:
        logger.warning("%s: stopped after %d of %d.", what, len(outcomes), len(ids))
        raise ended_by[0]
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise QlikPartialFailureError(failures, total=len(ids))
