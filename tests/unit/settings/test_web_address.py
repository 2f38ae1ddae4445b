"""URLs of upstreams: read alike by everybody, or refused."""

import pytest

from gateway.model import Origin
from gateway.settings.web_address import WebAddress, read_url


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        ("https://api.example", Origin("https", "api.example", 443), ""),
        ("http://API.example:8080/", Origin("http", "api.example", 8080), ""),
        ("http://[::1]:9000/v1/", Origin("http", "::1", 9000), "/v1"),
        ("http://[0:0::1]/a/b", Origin("http", "::1", 80), "/a/b"),
        ("http://127.0.0.1", Origin("http", "127.0.0.1", 80), ""),
    ],
)
def test_parts_of_a_url(text: str, origin: Origin, path: str) -> None:
    """Host in lower case, the scheme's port, the path without a slash at its end."""
    assert read_url(text) == WebAddress(origin, path)


@pytest.mark.parametrize(
    "text",
    [
        "api.example",
        "//api.example",
        "https:///v1",
        "ftp://api.example",
        "https://u:p@api.example",
        "https://api.example?",
        "https://api.example#",
        "https://api.example:0x50",
        "https://api.example:99999",
        "https://bücher.example",
        "https://api..example",
        "https://-api.example",
        "https://api.example/a//b",
        "https://api.example/./a",
        "https://api.example/a%2fb",
        "https://api.example/a b",
        "https://api.example\\a",
        "http://[::1",
        "http://[v1.x]/",
        "http://[::zz]/",
        "https://api.example/\u00e9",
    ],
)
def test_other_urls_are_refused(text: str) -> None:
    """With a sentence that repeats no part of them."""
    with pytest.raises(ValueError, match=r"URL|host") as caught:
        read_url(text)
    assert text not in str(caught.value)
