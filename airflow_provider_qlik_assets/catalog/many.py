"""Do the same with many data assets: several at a time, and what fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.progress import Progress
from airflow_provider_qlik_assets.catalog.workers import Breaker, Workers
from airflow_provider_qlik_assets.client.errors import QlikCloudError, QlikPartialFailureError
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.rate_limit.limiter import Tier

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.catalog.results import Result
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

_MOST_LOGGED_FAILURES = 20


def change_many(
    client: QlikCloudClient,
    change: Callable[[QlikCloudClient, str], Result],
    data_asset_ids: Iterable[str],
    *,
    what: str,
    done: str = "done",
) -> Iterator[Result]:
    """Change many data assets, several at a time.

    :param client: the client whose quota and waits count; the threads have one of their own.
    :param change: changes the data asset of an id; called in several threads at once.
    :param data_asset_ids: different ids.
    :param what: what is done, for the log.
    :param done: its past participle.
    :return: the results of those that did not fail, in the order given.
    :raises QlikPartialFailureError: at the end, if several failed.
    :raises QlikCloudError: at the end, if one failed; or an error that would hit all others, too, and after
        which no other was begun. It says how many were done.
    """
    ids = list(data_asset_ids)
    if len(ids) <= 1:
        yield from (change(client, data_asset_id) for data_asset_id in ids)
        return
    outcomes: dict[str, Result] = {}
    failures: dict[str, QlikCloudError] = {}
    ended_by: BaseException | None = None
    breaker = Breaker()
    progress = Progress(what, len(ids), done=done, wait=partial(client.rate_limit_wait, Tier.TWO))

    def note(data_asset_id: str, outcome: Result | QlikCloudError) -> None:
        nonlocal ended_by
        opened = breaker.opens(outcome)
        if isinstance(outcome, QlikCloudError):
            failures[data_asset_id] = outcome
            if len(failures) <= _MOST_LOGGED_FAILURES:
                logger.warning("%s: %s failed. %s", what, data_asset_id, outcome)
            if opened:
                ended_by = ended_by or outcome
                workers.stop()
        else:
            outcomes[data_asset_id] = outcome
            progress.note(outcome.action)

    try:
        with Workers(client, change, on_done=note, on_tick=progress.tick) as workers:
            workers.run(ids)
    except QlikCloudError as error:
        ended_by = ended_by or error
    except BaseException as error:
        progress.ended_early(error)
        raise
    yield from (outcomes[data_asset_id] for data_asset_id in ids if data_asset_id in outcomes)
    if ended_by is None and len(failures) == 1:
        (ended_by,) = failures.values()
    if ended_by is not None:
        progress.ended_early(ended_by)
        raise ended_by
    if failures:
        in_order = {name: failures[name] for name in ids if name in failures}
        raise QlikPartialFailureError(in_order, total=len(ids))
