"""Listing the assets of stores."""

from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox


@pytest.fixture
def five(sandbox: Sandbox) -> list[str]:
    """Ids of five assets, "e" first; "a" and "b" in one store, "c" and "d" in another, "e" in none."""
    sandbox.add_store(id="s1", name="one")
    sandbox.add_store(id="s/2", name="two")
    for key, store, name in (
        ("e", None, "z"),
        ("d", "s/2", "y"),
        ("c", "s/2", "y"),
        ("b", "s1", None),
        ("a", "s1", "x"),
    ):
        sandbox.add_asset(store, id=key, technicalName=f"t-{key}", **({"name": name} if name else {}))
    return ["a", "b", "c", "d", "e"]


def keys(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [asset["id"] for asset in response.json()["data"]]


@pytest.mark.parametrize(
    ("stores", "found"),
    [
        ("s1", "ab"),
        (quote("s/2", safe=""), "cd"),
        ("s1," + quote("s/2", safe=""), "abcd"),
        ("s1%2Cs%2F2", "abcd"),
        ("s1,s1", "ab"),
        ("*", "abcde"),
        ("%2A", "abcde"),
    ],
)
def test_assets_are_listed_by_store(api, five: list[str], stores: str, found: str) -> None:
    response = api.list(stores)
    assert sorted(keys(response)) == list(found)
    assert response.json()["total"] == len(found)


@pytest.mark.parametrize(("switch", "status"), [("refused", 404), ("empty", 200)])
def test_an_unknown_store(sandbox: Sandbox, api, five: list[str], switch: Any, status: int) -> None:
    sandbox.settings.unknown_store = switch
    assert api.list("nowhere").status_code == status
    response = api.list("s1,nowhere")
    assert response.status_code == status
    if status == 200:
        assert keys(api.list("nowhere")) == []
        assert keys(response) == ["a", "b"]


def test_all_stores_can_be_refused(sandbox: Sandbox, api) -> None:
    sandbox.settings.all_stores_refused = True
    assert api.list("*").status_code == 403
    assert api("DELETE", "/api/v1/data-stores/*/data-assets").status_code == 403


@pytest.mark.parametrize(
    ("parameters", "page", "limit", "found"),
    [
        ({}, 0, 20, "abcde"),
        ({"limit": 2}, 0, 2, "ab"),
        ({"limit": 2, "page": 2}, 2, 2, "e"),
        ({"limit": 2, "page": 3}, 3, 2, ""),
        ({"limit": 100}, 0, 100, "abcde"),
    ],
)
@pytest.mark.usefixtures("five")
def test_pages(api, parameters: dict[str, int], page: int, limit: int, found: str) -> None:
    response = api.list(**parameters)
    assert keys(response) == list(found)
    answer = response.json()
    assert (answer["page"], answer["limit"], answer["total"]) == (page, limit, 5)
    assert answer["pages"] == -(-5 // limit)


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": "x"},
        {"limit": ""},
        {"limit": "1_0"},
        {"limit": [1, 2]},
        {"page": -1},
        {"page": "1.0"},
        {"page": 10**30},
    ],
)
def test_bad_page_parameters_are_refused(api, parameters: dict[str, Any]) -> None:
    assert api.list(**parameters).status_code == 400


def test_an_empty_tenant_has_no_pages(api) -> None:
    answer = api.list().json()
    assert (answer["data"], answer["pages"], answer["total"]) == ([], 0, 0)


@pytest.mark.parametrize(("switch", "status"), [("refused", 400), ("clamped", 200)])
def test_a_limit_over_100(sandbox: Sandbox, api, five: list[str], switch: Any, status: int) -> None:
    sandbox.settings.limit_over_maximum = switch
    response = api.list(limit=101)
    assert response.status_code == status
    assert response.json().get("limit") == (100 if status == 200 else None)


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        (None, "abcde"),
        ("technicalName", "abcde"),
        ("-technicalName", "edcba"),
        ("-id", "edcba"),
        ("name", "bacde"),
        ("-name", "ecdab"),
        ("name,-id", "badce"),
        ("-name,-id", "edcab"),
    ],
)
def test_sort(api, five: list[str], sort: str | None, found: str) -> None:
    assert keys(api.list(sort=sort)) == list(found)


@pytest.mark.parametrize(
    "sort", ["colour", "--name", "name,", "tags", "-dataStoreInfo", "properties", " name", ""]
)
def test_sort_refuses(api, five: list[str], sort: str) -> None:
    assert api.list(sort=sort).status_code == 400


def test_any_sort_can_be_refused(sandbox: Sandbox, api) -> None:
    sandbox.settings.sort_refused = True
    assert api.list(sort="name").status_code == 400
    assert api.list().status_code == 200


def test_sorting_may_be_ignored(sandbox: Sandbox, api, five: list[str]) -> None:
    unsorted = api.list().json()["data"]
    sandbox.settings.sort_ignored = True
    assert api.list(sort="-name").json()["data"] == api.list(sort="name").json()["data"] == unsorted
    assert api.list(sort="tags").status_code == 400


def test_a_sorted_listing_follows_changes(sandbox: Sandbox, api, five: list[str]) -> None:
    assert keys(api.list(sort="-version"))[0] == "a"
    sandbox.touch("c", name="new")
    assert keys(api.list(sort="-version"))[0] == "c"
    added = sandbox.add_asset(technicalName="new", version=9)["id"]
    assert keys(api.list(sort="-version"))[0] == added
    api("DELETE", "/api/v1/data-assets", json={"ids": [added]})
    assert keys(api.list(sort="-version"))[0] == "c"


@pytest.mark.parametrize(
    ("projections", "switches", "found"),
    [
        ("name,version", {}, {"name": "x", "version": 0}),
        ("id", {}, {"id": "a"}),
        ("name,version", {"id_in_projections": "always"}, {"id": "a", "name": "x", "version": 0}),
        ("name,colour", {}, None),
        ("name,colour", {"unknown_projection": "ignored"}, {"name": "x"}),
        ("description", {}, {}),
        ("description", {"unset_fields": "null"}, {"description": None}),
    ],
)
@pytest.mark.usefixtures("five")
def test_projections(sandbox: Sandbox, api, projections: str, switches: dict[str, Any], found: Any) -> None:
    for name, value in {"undocumented_field": False, **switches}.items():
        setattr(sandbox.settings, name, value)
    response = api.list("s1", projections=projections, limit=1)
    assert response.status_code == (400 if found is None else 200)
    if found is not None:
        assert response.json()["data"] == [found]


def follow(api: Any, response: Any, name: str) -> Any:
    href = response.json()["links"][name]["href"]
    return api("GET", href.removeprefix(api.sandbox.url))


@pytest.mark.parametrize(("links", "prefix"), [("absolute", "http://127.0.0.1:"), ("relative", "/api/v1/")])
def test_links_lead_through_all_pages(
    sandbox: Sandbox, api, five: list[str], links: Any, prefix: str
) -> None:
    sandbox.settings.links = links
    first = api.list("*", limit=2, sort="-id", projections="id")
    assert all(link["href"].startswith(prefix) for link in first.json()["links"].values())
    second = follow(api, first, "next")
    third = follow(api, second, "next")
    assert keys(first) + keys(second) + keys(third) == ["e", "d", "c", "b", "a"]
    assert keys(follow(api, third, "prev")) == keys(second)
    assert keys(follow(api, third, "self")) == keys(third) == keys(follow(api, first, "last"))
    assert keys(follow(api, third, "first")) == keys(first)


@pytest.mark.parametrize(
    ("switch", "expected"), [("absent", "nothing"), ("empty", {"href": ""}), ("null", None)]
)
def test_the_link_after_the_last_page(
    sandbox: Sandbox, api, five: list[str], switch: Any, expected: Any
) -> None:
    sandbox.settings.missing_link = switch
    links = api.list().json()["links"]
    assert links.get("next", "nothing") == expected
    assert links.get("prev", "nothing") == expected
