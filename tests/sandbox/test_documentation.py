"""The pages with the documentation need nothing but the sandbox."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Sandbox

PAGES = ["/docs", "/sandbox/docs"]


class References(HTMLParser):
    """Collects what a page loads or links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=10)


@pytest.mark.parametrize("path", PAGES)
def test_nothing_on_the_page_leaves_the_host(sandbox: Sandbox, path: str) -> None:
    page = get(sandbox.url + path)
    assert page.status_code == 200
    found = References(page.text).found
    assert len(found) == 3
    for reference in found:
        url = urljoin(sandbox.url + path, reference)
        assert url.startswith(f"{sandbox.url}/")
        answer = get(url)
        assert answer.status_code == 200
        if answer.headers["content-type"].startswith("text/css"):
            assert not re.findall(r"@import|url\((?![\"']?data:)", answer.text)
    assert not re.findall(r"https?://|[\"']//", page.text)
    assert '"validatorUrl": null' in page.text


@pytest.mark.parametrize("path", PAGES)
def test_the_page_shows_the_description_beside_it(sandbox: Sandbox, path: str) -> None:
    [description] = re.findall(r"url: '(.+)'", get(sandbox.url + path).text)
    assert description == path.replace("docs", "openapi.json")
    assert get(sandbox.url + description).json()["paths"]


@pytest.mark.parametrize("path", ["/redoc", "/sandbox/redoc"])
def test_there_is_no_other_page(sandbox: Sandbox, path: str) -> None:
    headers = {"Authorization": f"Bearer {sandbox.control_token}"}
    assert requests.get(sandbox.url + path, headers=headers, timeout=10).status_code == 404
