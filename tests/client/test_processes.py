"""Clients in processes that were forked or spawned."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    ApiKey,
    OAuthClientSecret,
    QlikCloudClient,
    QlikConnectionError,
)
from airflow_provider_qlik_assets.client.retry import RetryPolicy
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

FORK = multiprocessing.get_context("fork")
SPAWN = multiprocessing.get_context("spawn")

# Forking while the sandbox's thread runs is the subject here.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def run(context: Any, work: Callable[..., Any], *arguments: Any, processes: int = 1) -> list[Any]:
    """Return what processes put into a queue, one result each."""
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue, *arguments)) for _ in range(processes)]
    for child in children:
        child.start()
    results = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * processes
    return results


def read_ids(queue: Any, client: QlikCloudClient, ids: list[str]) -> None:
    queue.put([client.get_data_asset(data_asset_id).id for data_asset_id in ids])


def connect_and_ask(queue: Any, url: str, client_id: str, client_secret: str) -> None:
    with QlikCloudClient(url, OAuthClientSecret(client_id, client_secret)) as client:
        queue.put(client.me()["id"])


def time_out(queue: Any, client: QlikCloudClient) -> None:
    started = time.monotonic()
    try:
        client.me()
    except QlikConnectionError as error:
        queue.put((time.monotonic() - started, str(error)))


def test_a_forked_child_does_not_share_the_sockets_of_its_parent(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    ids = [str(sandbox.add_asset(technicalName=f"t{number}")["id"]) for number in range(20)]
    client.me()
    wrong: list[str] = []

    def read_meanwhile() -> None:
        wrong.extend({str(client.get_data_asset(ids[0]).id) for _ in range(50)} - {ids[0]})

    thread = threading.Thread(target=read_meanwhile)
    thread.start()
    results = run(FORK, read_ids, client, ids, processes=3)
    thread.join()

    assert results == [ids] * 3
    assert wrong == []


def test_the_deadline_of_an_answer_holds_in_a_forked_child(sandbox: Sandbox, connect: Any) -> None:
    client = connect(timeout=(0.2, 0.4), retry=RetryPolicy(max_retries=0))
    client.me()
    sandbox.add_fault(Fault(kind="drip", seconds=0.05))

    ((seconds, message),) = run(FORK, time_out, client)

    assert "not complete within 0.6 s" in message
    assert seconds < 5


@pytest.mark.parametrize("context", [FORK, SPAWN], ids=["fork", "spawn"])
@pytest.mark.slow
def test_processes_share_a_token(sandbox: Sandbox, context: Any) -> None:
    found = run(context, connect_and_ask, sandbox.url, sandbox.client_id, sandbox.client_secret, processes=4)

    assert found == ["user-oauth-client"] * 4
    assert len(sandbox.journal.requests("POST", "/oauth/token")) == 1


def test_a_child_shares_the_token_that_its_parent_has(sandbox: Sandbox) -> None:
    secret = OAuthClientSecret(sandbox.client_id, sandbox.client_secret)
    asset = sandbox.add_asset(technicalName="orders")["id"]
    with QlikCloudClient(sandbox.url, secret) as client:
        client.me()

        assert run(FORK, read_ids, client, [asset], processes=2) == [[asset]] * 2

    assert len(sandbox.journal.requests("POST", "/oauth/token")) == 1


def test_a_client_cannot_be_pickled_by_accident_with_its_secrets(sandbox: Sandbox) -> None:
    client = QlikCloudClient(sandbox.url, ApiKey(sandbox.api_key), rate_limit_store="memory:")
    client.me()

    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(client)
