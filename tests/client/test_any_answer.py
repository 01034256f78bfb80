"""Whatever comes back: a result, or an error of this package."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness
from airflow_provider_qlik_assets.catalog.upsert import upsert_data_asset
from airflow_provider_qlik_assets.client import (
    OAuthClientSecret,
    QlikCloudClient,
    QlikCloudError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.watching.feed import ChangeFeed, Interest
from tests.clients import Connect
from tests.wire import Wire

ASSET = {
    "id": "a",
    "technicalName": "orders",
    "appType": "dbt",
    "version": 0,
    "dataStoreInfo": {"id": "s"},
    "createdTime": "2026-01-01T00:00:00.000Z",
    "lastModifiedTime": "2026-01-01T00:00:00.000Z",
}
NEW = {"technicalName": "orders", "appType": "dbt", "dataStoreInfo": {"id": "s"}}
PAGE = {"data": [ASSET], "pages": 2, "total": 101, "page": 0, "limit": 100}
ERROR = {
    "errors": [{"code": "X-1", "title": "t", "detail": "d", "status": "400", "meta": {"a": 1}}],
    "traceId": "0" * 32,
}
TOKEN = {"access_token": "t" * 40, "expires_in": 21600, "expires_at": "2026-04-08T15:45:03.000Z"}

CALLS: dict[str, Callable[[QlikCloudClient], Any]] = {
    "me": lambda client: client.me(),
    "get": lambda client: client.get_data_asset("a"),
    "create": lambda client: client.create_data_asset(NEW),
    "update": lambda client: client.update_data_asset("a", {**NEW, "version": 0}),
    "patch": lambda client: client.patch_data_asset("a", [{"op": "remove", "path": "/name"}]),
    "delete": lambda client: client.delete_data_assets(["a"]),
    "page": lambda client: client.read_page(),
    "list": lambda client: list(client.list_data_assets()),
    "sorted list": lambda client: list(client.list_data_assets(sort=["name"])),
    "stamp": lambda client: set_data_freshness(client, "a", "2026-01-01T00:00:00Z"),
    "upsert": lambda client: upsert_data_asset(client, NEW),
    "feed": lambda client: ChangeFeed().poll(client, Interest(ids=frozenset({"a"}))),
}

odd_text = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30)
dates = st.from_regex(
    r"[A-Z][a-z]{2},? \d{1,3}[ -][A-Z][a-z]{2}[ -]\d{1,11} \d{1,3}:\d\d(:\d{1,3})? "
    r"([-+]\d{1,6}|GMT|[A-Z]{1,3})?",
    fullmatch=True,
)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from(["1e400", "0x1", "²", "-0", "1_0"])).map(str)
values = st.one_of(odd_text, dates, numbers)
headers = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(
                [
                    "Retry-After",
                    "Date",
                    "Location",
                    "Content-Length",
                    "Content-Type",
                    "Set-Cookie",
                    "Connection",
                ]
            ),
            values,
        ),
        st.tuples(st.sampled_from(["Content-Encoding"]), st.sampled_from(["gzip", "br", "identity", "x"])),
        st.tuples(st.sampled_from(["Transfer-Encoding"]), st.sampled_from(["chunked", "gzip", "x"])),
        st.tuples(
            st.just("Location"),
            st.sampled_from(
                ["/", "//", "?", "http://[", "http://a:b/", "//[::1]:99999/", "/api/v1/users/me"]
            ),
        ),
        st.tuples(odd_text, odd_text),
    ),
    max_size=4,
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), dates,
    st.sampled_from(["2026-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def spoiled(document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return documents in which some members are anything, or missing."""
    return st.tuples(
        st.dictionaries(st.sampled_from(sorted(document)), anything, max_size=3),
        st.sets(st.sampled_from(sorted(document)), max_size=1),
    ).map(
        lambda change: {name: {**document, **change[0]}[name] for name in document if name not in change[1]}
    )


documents = st.one_of(
    anything,
    spoiled(ASSET),
    spoiled(PAGE),
    spoiled(TOKEN),
    spoiled(ERROR),
    spoiled(ERROR["errors"][0]).map(lambda entry: {**ERROR, "errors": [entry]}),  # type: ignore[arg-type]
    spoiled(ASSET).map(lambda asset: {**PAGE, "data": [asset]}),
    st.sampled_from([ASSET, PAGE, TOKEN]),
)
deep = st.sampled_from([b"[" * 100_000, b'{"errors":' * 100_000, b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000])
bodies = st.one_of(
    documents.map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass")),
    st.binary(max_size=40),
    deep,
).flatmap(lambda body: st.sampled_from([body, gzip.compress(body, 1), body[:-1], b"5\r\n" + body]))
heads = st.one_of(
    st.sampled_from(
        ["200 OK", "201 Created", "204 None", "400 Bad", "401 No", "404 No", "409 No", "429 Later"]
    ),
    st.integers(0, 1000).map(str),
    odd_text,
)
versions = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2", "", "ICY"])
Answer = tuple[str, str, list[tuple[str, str]], bytes]
answers: st.SearchStrategy[Answer] = st.one_of(
    st.tuples(st.just("HTTP/1.1"), heads, headers, bodies), st.tuples(versions, heads, headers, bodies)
)


def on_the_wire(answer: Answer) -> bytes:
    version, head, fields, body = answer
    fields = [*fields, ("Content-Length", str(len(body)))] if len(fields) % 3 else fields
    lines = [f"{version} {head}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace") + body


class Answering:
    """A server whose answers are replaced from one example to the next."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.wire = Wire(self._answer)

    def _answer(self, count: int, path: str) -> Iterator[bytes]:
        yield self.answers[count % len(self.answers)]
        raise OSError("nothing waits for what does not come")


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    server = Answering()
    yield server
    server.wire.close()


def check(server: Answering, connect: Connect, some: list[Answer], call: str, *, oauth: bool) -> None:
    server.answers = [on_the_wire(answer) for answer in some]
    credentials = OAuthClientSecret("client", "s3cret-of-the-client") if oauth else None
    client = connect(
        server.wire.url,
        credentials,
        retry=RetryPolicy(max_retries=1, max_retry_wait=100.0),
        timeout=(5.0, 5.0),
    )
    try:
        CALLS[call](client)
    except QlikCloudError as error:
        text = str(error)
        assert text.isprintable()
        assert "s3cret-of-the-client" not in text
    finally:
        client.close()


ANY = given(
    some=st.lists(answers, min_size=1, max_size=2), call=st.sampled_from(sorted(CALLS)), oauth=st.booleans()
)
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
BUSY = [("Retry-After", "Mon, 20 Nov 9999999999 12:00:00 +0000")]


@example(some=[("HTTP/1.1", "429 Later", BUSY, b"{}")], call="me", oauth=False)
@example(some=[("HTTP/1.1", "503 Later", BUSY, b"{}")], call="stamp", oauth=True)
@example(some=[("HTTP/1.1", "200 OK", [], b"[" * 100_000)], call="me", oauth=False)
@example(some=[("HTTP/1.1", "400 Bad", [], b'{"errors":' * 100_000)], call="patch", oauth=False)
@settings(suppress_health_check=CHECKS, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
@ANY
def test_only_errors_of_this_package_come_out(
    answering: Answering, connect: Connect, some: list[Answer], call: str, oauth: bool
) -> None:
    check(answering, connect, some, call, oauth=oauth)


@settings(max_examples=500, deadline=None, suppress_health_check=CHECKS)
@ANY
@pytest.mark.slow
def test_only_errors_of_this_package_come_out_of_very_many(
    answering: Answering, connect: Connect, some: list[Answer], call: str, oauth: bool
) -> None:
    check(answering, connect, some, call, oauth=oauth)
