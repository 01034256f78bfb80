"""A hostile tenant, or whoever answers in its place: what the JSON of an answer can say."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikResponseError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.tokens import AccessToken
from tests.clients import Connect
from tests.wire import answer

ONCE = RetryPolicy(max_retries=0)


@pytest.mark.parametrize(("count", "accepted"), [(249_000, True), (251_000, False)])
@pytest.mark.parametrize("value", [b"1", b'",[{:"', b'"\\\\\\",,"'])
def test_json_may_hold_250_000_values(
    tenant: Any, connect: Connect, count: int, accepted: bool, value: bytes
) -> None:
    body = b'{"many": [' + b",".join([value] * count) + b"]}"
    server = tenant(lambda number, path: answer(body))
    client = connect(server.url, retry=ONCE)

    if accepted:
        assert len(client.me()["many"]) == count
    else:
        with pytest.raises(QlikResponseError, match="it holds more than 250,000 values"):
            connect(server.url).me()
        assert len(server.requests) == 1  # another answer would be as large


def test_of_many_wrong_tags_one_is_told(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"id": "a", "tags": [1] * 100}))

    with pytest.raises(QlikResponseError) as caught:
        connect(server.url, retry=ONCE).get_data_asset("a")

    assert "tags.0: input should be a valid string" in str(caught.value)
    assert "more" not in str(caught.value)


# --- pages -----------------------------------------------------------------------------------------------


def page(items: list[dict[str, Any]], *, pages: int, total: int) -> bytes:
    return answer({"data": items, "page": 0, "limit": 100, "pages": pages, "total": total, "links": {}})


def number_of(path: str) -> int:
    return int(path.partition("page=")[2].partition("&")[0])


@pytest.mark.parametrize("sort", [None, ["-lastModifiedTime"]])
@pytest.mark.parametrize("total", [1, 10**20])
def test_a_number_of_pages_that_cannot_be_is_not_obeyed(
    tenant: Any, connect: Connect, sort: Any, total: int
) -> None:
    server = tenant(
        lambda count, path: page([{"id": "a"}] if number_of(path) == 0 else [], pages=10**18, total=total)
    )

    with contextlib.suppress(QlikResponseError) if total > 1 else contextlib.nullcontext():
        assert [asset.id for asset in connect(server.url).list_data_assets(sort=sort)] == ["a"]

    assert len(server.requests) <= 20


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5_000, b'"many"', b"{}", b"null"])
def test_a_number_of_pages_that_is_none_is_a_clear_error(
    tenant: Any, connect: Connect, number: bytes
) -> None:
    server = tenant(lambda count, path: answer(b'{"data": [], "total": 0, "pages": %b}' % number))

    with pytest.raises(QlikResponseError):
        list(connect(server.url, retry=ONCE).list_data_assets())


@pytest.mark.parametrize(("count", "accepted"), [(100, True), (101, False)])
def test_a_page_holds_no_more_than_was_asked_for(
    tenant: Any, connect: Connect, count: int, accepted: bool
) -> None:
    items = [{"id": f"a{number}"} for number in range(count)]
    server = tenant(lambda number, path: page(items, pages=1, total=count))
    client = connect(server.url, retry=ONCE)

    if accepted:
        assert len(client.read_page().items) == 100
    else:
        with pytest.raises(QlikResponseError, match="it has 101 data assets, but 100 were requested"):
            client.read_page()


@pytest.mark.parametrize(
    "retry_after",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "9" * 60_000,
    ],
    ids=["year", "zone", "seconds"],
)
def test_a_retry_after_that_is_no_time_is_ignored(tenant: Any, connect: Connect, retry_after: str) -> None:
    server = tenant(
        lambda count, path: (
            answer({}, "503 Service Unavailable", Retry_After=retry_after)
            if count == 1
            else answer({"id": "me"})
        )
    )

    assert connect(server.url).me() == {"id": "me"}


@pytest.mark.parametrize("sort", [None, ["-lastModifiedTime"]])
def test_the_same_page_for_ever_ends(tenant: Any, connect: Connect, sort: Any) -> None:
    items = [{"id": f"a{number}"} for number in range(100)]
    server = tenant(lambda count, path: page(items, pages=10**18, total=10**20))

    with pytest.raises(QlikResponseError, match="pages"):
        list(connect(server.url).list_data_assets(sort=sort))

    assert len(server.requests) <= 30


# --- whom an answer can reach ----------------------------------------------------------------------------


def test_an_asset_that_was_not_asked_for_is_an_error(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"id": "b", "technicalName": "other", "version": 1}))
    client = connect(server.url, retry=ONCE)

    for read in (
        lambda: client.get_data_asset("a"),
        lambda: client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]),
        lambda: client.update_data_asset("a", {"technicalName": "t", "appType": "x", "version": 1}),
    ):
        with pytest.raises(QlikResponseError, match="instead of the data asset that was requested"):
            read()

    assert [number for number, _ in server.requests] == [1, 2, 3]  # no connection was used again


def test_a_document_without_an_id_is_not_the_asset_that_was_asked_for(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"technicalName": "other", "version": 1}))
    client = connect(server.url, retry=ONCE)

    for read in (
        lambda: client.get_data_asset("a"),
        lambda: client.get_data_asset("a", projections="technicalName"),
        lambda: client.exists("a"),
    ):
        with pytest.raises(QlikResponseError, match="without an id instead of the data asset") as caught:
            read()
        assert "have been made" not in str(caught.value)


@pytest.mark.parametrize("document", [{}, {"id": "b"}, [], "a"])
def test_a_write_with_an_odd_answer_may_have_been_made(tenant: Any, connect: Connect, document: Any) -> None:
    server = tenant(lambda count, path: answer(document))
    client = connect(server.url, retry=ONCE)

    for write in (
        lambda: client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]),
        lambda: client.update_data_asset("a", {"technicalName": "t", "appType": "x", "version": 1}),
    ):
        with pytest.raises(QlikResponseError, match="The change may or may not have been made: read the"):
            write()

    assert [number for number, _ in server.requests] == [1, 2]  # no connection was used again


@pytest.mark.parametrize(
    "body",
    [b"<html>A gateway</html>", b'{"id": "a", "technicalName": "t', b"\xff\xfe", b"[" * 100_000],
    ids=["HTML", "cut", "no text", "deep"],
)
def test_a_write_that_is_answered_with_no_document_may_have_been_made(
    tenant: Any, connect: Connect, body: bytes
) -> None:
    client = connect(tenant(lambda count, path: answer(body)).url, retry=ONCE)

    for write in (
        lambda: client.create_data_asset({"technicalName": "t", "appType": "x"}),
        lambda: client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]),
        lambda: client.update_data_asset("a", {"technicalName": "t", "appType": "x", "version": 1}),
        lambda: client.delete_data_assets(["a"]),
    ):
        with pytest.raises(QlikResponseError, match="The change may or may not have been made: read the"):
            write()


def test_a_write_may_be_answered_without_the_id_as_the_schema_allows(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"technicalName": "t", "appType": "x", "version": 2}))
    client = connect(server.url, retry=ONCE)

    patched = client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}])
    updated = client.update_data_asset("a", {"technicalName": "t", "appType": "x", "version": 1})

    assert (patched.id, patched.version) == (updated.id, updated.version) == ("a", 2)


@pytest.mark.parametrize("empty", [b"HTTP/1.1 204 No Content\r\n\r\n", answer(b"")], ids=["204", "200"])
def test_a_write_may_be_answered_by_nothing(tenant: Any, connect: Connect, empty: bytes) -> None:
    server = tenant(lambda count, path: empty if count % 2 else answer({"id": "a", "version": 2}))
    client = connect(server.url, retry=ONCE)

    assert client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]).version == 2
    wish = {"technicalName": "t", "appType": "x", "version": 1}
    assert client.update_data_asset("a", wish).version == 2
    client.delete_data_assets(["a"])

    assert [number for number, _ in server.requests] == [1] * 5


@pytest.mark.parametrize("number", [b"1e9999", b"-1e9999", b"NaN", b"-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(tenant: Any, connect: Connect, number: bytes) -> None:
    server = tenant(lambda count, path: answer(b'{"id": "a", "properties": {"rows": %b}}' % number))

    with pytest.raises(QlikResponseError, match="with JSON that was rejected: "):
        connect(server.url).get_data_asset("a")
    assert len(server.requests) == 1


def test_every_number_and_text_of_an_answer_fits_into_an_xcom(tenant: Any, connect: Connect) -> None:
    properties = b"""{
        "most": 18446744073709551615, "more": 18446744073709551616, "least": -9223372036854775808,
        "less": -9223372036854775809, "text": ["a\\ud800b", "\\ud83d\\ude00", "c\\u0000d"], "\\uDC00": "name"
    }"""
    server = tenant(lambda count, path: answer(b'{"id": "a", "properties": %b}' % properties))

    found = connect(server.url, retry=ONCE).get_data_asset("a").to_json()["properties"]

    assert found == {
        "most": 2**64 - 1,
        "more": float(2**64),
        "least": -(2**63),
        "less": float(-(2**63) - 1),
        "text": ["a\ufffdb", "\U0001f600", "c\ufffdd"],
        "\ufffd": "name",
    }
    assert [type(found[name]) for name in ("most", "more", "least", "less")] == [int, float, int, float]


@pytest.mark.parametrize(("length", "accepted"), [(15, False), (16, True), (16_384, True), (16_385, False)])
def test_a_token_is_as_long_as_tokens_are(length: int, accepted: bool) -> None:
    reply = {"access_token": "t" * length, "expires_in": 60}

    if accepted:
        assert len(AccessToken.from_reply(reply, requested_at=0.0).value) == length
    else:
        with pytest.raises(QlikResponseError, match="without an access token"):
            AccessToken.from_reply(reply, requested_at=0.0)
