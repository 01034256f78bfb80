"""Every status that an answer can have, for every method: only 2xx is success."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_qlik_assets.client import QlikCloudClient, QlikCloudError, RetryPolicy
from airflow_provider_qlik_assets.client.errors import (
    QlikConnectionError,
    QlikResponseError,
    error_class,
)
from tests.clients import Connect
from tests.wire import answer

ASSET = {"id": "a", "technicalName": "orders", "appType": "dbt", "version": 0}
NEW = {"technicalName": "orders", "appType": "dbt"}
STORES = "/api/v1/data-stores/"
SAYS_SO = "The change may or may not have been made: read the data asset before making it again."
WITHOUT_BODY = {204, 205, 304}

Call = Callable[[QlikCloudClient], Any]

CALLS: dict[str, Call] = {
    "GET": lambda client: client.get_data_asset("a"),
    "GET page": lambda client: client.read_page("*"),
    "POST": lambda client: client.create_data_asset(NEW),
    "PUT": lambda client: client.update_data_asset("a", {**NEW, "version": 0}),
    "PATCH": lambda client: client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]),
    "DELETE": lambda client: client.delete_data_assets(["a"]),
}


def outcome(client: QlikCloudClient, call: Call) -> Any:
    """Return the error, or what was returned."""
    try:
        return call(client)
    except QlikCloudError as error:
        return error


def error_of(status: int) -> type[QlikCloudError]:
    if status < 200:
        return QlikConnectionError
    return error_class(status) if status >= 400 else QlikResponseError


def test_only_2xx_is_success_and_a_write_that_may_have_been_made_says_so(
    tenant: Any, connect: Connect
) -> None:
    statuses: list[int] = []

    def reply(count: int, path: str) -> bytes | Iterator[bytes]:
        status = statuses.pop() if statuses else 200  # what follows a write without body
        document = {"data": [ASSET], "pages": 1, "total": 1} if path.startswith(STORES) else ASSET
        if status < 200:
            return interim(status)
        return answer(b"" if status in WITHOUT_BODY else document, f"{status} Odd")

    def interim(status: int) -> Iterator[bytes]:
        yield f"HTTP/1.1 {status} Odd\r\n\r\n".encode()
        raise OSError("no other answer follows")

    server = tenant(reply)
    client = connect(server.url, retry=RetryPolicy(max_retries=0, max_retry_wait=0.0))
    wrong = []
    for method, call in CALLS.items():
        for status in range(100, 600):
            statuses[:] = [status]
            result = outcome(client, call)
            may_have_been_made = False
            if status // 100 != 2 or status == 206:
                expected = type(result) is error_of(status)
                may_have_been_made = status < 300 or status >= 500
            elif status in WITHOUT_BODY and method in {"GET", "GET page", "POST"}:
                expected = type(result) is QlikResponseError  # without what was asked for
                may_have_been_made = True
            else:
                expected = not isinstance(result, QlikCloudError)
            says_so = isinstance(result, QlikCloudError) and SAYS_SO in str(result)
            if not expected or says_so != (may_have_been_made and "GET" not in method):
                wrong.append((method, status, result))

    assert wrong == []
