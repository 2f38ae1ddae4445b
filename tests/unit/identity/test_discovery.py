"""Where an issuer's keys come from, how long they serve, and how often an issuer is asked."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.fetch import Fetch
from gateway.identity import asking
from gateway.identity.asking import Asking
from gateway.identity.discovery import DiscoveredKeys, FileKeys, _may_be_asked, check_issuer
from gateway.identity.kept import FRESH, INTERVAL, STALE, UnavailableError

ALGORITHMS = ("ES256",)


def discover(url: str, fetch: Fetch, clock: Any) -> DiscoveredKeys:
    """The keys of whoever answers there."""
    return DiscoveredKeys(url, ALGORITHMS, Asking("the issuer", fetch, clock, Path, ca=None), clock)


@pytest.fixture
def discovered(published: Any, fetch: Fetch, clock: Any) -> DiscoveredKeys:
    """The keys of the published issuer."""
    return discover(published.url, fetch, clock)


async def test_keys_are_discovered_when_first_needed_and_kept(discovered: DiscoveredKeys, published: Any) -> None:
    """One look at the discovery document and one at the keys serve every later token."""
    assert published.requests == []
    for _ in range(3):
        key = await discovered.find("first")
        assert key is not None
    assert published.requests == ["/.well-known/openid-configuration", "/keys"]


async def test_a_flood_of_unknown_key_ids_causes_one_fetch_an_interval(
    discovered: DiscoveredKeys, published: Any, clock: Any
) -> None:
    """Checklist 2: key ids come from callers, and callers cannot make the issuer be asked as often as they like."""
    for number in range(200):
        assert await discovered.find(f"../../{number}") is None
    assert published.requests.count("/keys") == 1
    clock.seconds += INTERVAL
    for number in range(200):
        assert await discovered.find(f"unknown {number}") is None
    assert published.requests.count("/keys") == 2


async def test_callers_at_one_time_share_one_fetch(discovered: DiscoveredKeys, published: Any) -> None:
    """A hundred first tokens ask the issuer once, and all of them get the key."""
    keys = await asyncio.gather(*(discovered.find("first") for _ in range(100)))
    assert all(key is not None for key in keys)
    assert published.requests.count("/keys") == 1


async def test_a_caller_that_goes_away_does_not_take_the_fetch_along(discovered: DiscoveredKeys, published: Any) -> None:
    """The fetch belongs to nobody, so cancelling whoever began it leaves it to the others."""
    first = asyncio.create_task(discovered.find("first"))
    second = asyncio.create_task(discovered.find("first"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert published.requests.count("/keys") == 1


async def test_a_new_key_is_found_after_the_interval(discovered: DiscoveredKeys, published: Any, clock: Any) -> None:
    """A rotation at the issuer needs no restart and no wait for the end of the cache."""
    assert await discovered.find("first") is not None
    published.rotate("second")
    assert await discovered.find("second") is None
    clock.seconds += INTERVAL
    assert await discovered.find("second") is not None


async def test_a_removed_key_stops_with_the_next_refresh(discovered: DiscoveredKeys, published: Any, clock: Any) -> None:
    """Five minutes after its removal at the latest, a key validates nothing."""
    assert await discovered.find("first") is not None
    published.rotate("second")
    clock.seconds += FRESH - 1
    assert await discovered.find("first") is not None
    clock.seconds += 1
    assert await discovered.find("first") is None


async def test_keys_outlive_an_issuer_that_fails_for_a_bounded_time(
    discovered: DiscoveredKeys, published: Any, clock: Any
) -> None:
    """Known keys serve on while the issuer is gone, then nothing is accepted, and a return heals it."""
    assert await discovered.find("first") is not None
    published.status = 503
    clock.seconds += STALE
    assert await discovered.find("first") is not None
    clock.seconds += 1
    with pytest.raises(UnavailableError, match=r"cannot be had: the issuer answered with status 503"):
        await discovered.find("first")
    published.status = 200
    clock.seconds += INTERVAL
    assert await discovered.find("first") is not None


async def test_an_issuer_that_fails_is_asked_once_an_interval(discovered: DiscoveredKeys, published: Any) -> None:
    """Failing gives no licence to hammer it."""
    published.status = 500
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await discovered.find("first")
    assert len(published.requests) == 1


async def test_an_issuer_that_nobody_serves_is_a_clear_error(fetch: Fetch, clock: Any, unused_tcp_port: int) -> None:
    """The sentence names the issuer, the reason and when it is worth trying again."""
    keys = discover(f"http://127.0.0.1:{unused_tcp_port}", fetch, clock)
    with pytest.raises(UnavailableError, match=r"issuer http://127.*refused; try again in 30 seconds"):
        await keys.find("first")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}, "that of another issuer"),
        ({"jwks_uri": "https://other.example/keys"}, "that of another issuer"),
        ({"issuer": ""}, "names no https address"),
        ({"issuer": "", "jwks_uri": 1}, "names no https address"),
        ({"issuer": "", "jwks_uri": "http://keys.example/keys"}, "names no https address"),
        ({"issuer": "", "jwks_uri": "http://169.254.169.254/keys"}, "names no https address"),
        ({"issuer": "", "jwks_uri": "file:///etc/passwd"}, "names no https address"),
        ({"issuer": "", "jwks_uri": "https://user:secret@keys.example/"}, "names no https address"),
        ({"issuer": "", "jwks_uri": "https://["}, "names no https address"),
    ],
)
async def test_a_discovery_document_must_be_that_of_the_issuer_and_name_a_safe_address(
    discovered: DiscoveredKeys, published: Any, document: dict[str, Any], complaint: str
) -> None:
    """OpenID Connect Discovery §4.3: whoever else's document it is, its keys are not used."""
    published.document = {name: published.url if value == "" else value for name, value in document.items()}
    with pytest.raises(UnavailableError, match=complaint):
        await discovered.find("first")
    assert published.requests == ["/.well-known/openid-configuration"]


def test_an_issuer_on_a_network_cannot_point_at_loopback() -> None:
    """Keys in clear are for the tests and sidecars of one machine, and never reached through a foreign document."""
    assert _may_be_asked("https://keys.example/keys", "https://issuer.example")
    assert _may_be_asked("http://127.0.0.1:1/keys", "http://localhost:1")
    assert not _may_be_asked("http://127.0.0.1:1/keys", "https://issuer.example")
    assert not _may_be_asked("http://10.0.0.1/keys", "http://localhost:1")


async def test_a_discovery_document_is_one_json_object(fetch: Fetch, clock: Any) -> None:
    """A page of another kind at the well-known address is said to be one."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    application = web.Application()
    application.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    keys = discover(f"http://127.0.0.1:{runner.addresses[0][1]}", fetch, clock)
    with pytest.raises(UnavailableError, match="discovery document is not one JSON object"):
        await keys.find("first")
    await runner.cleanup()


async def test_redirects_of_the_issuer_are_not_followed(discovered: DiscoveredKeys, published: Any) -> None:
    """A redirect is an answer with the wrong status, wherever it points."""
    published.status = 302
    with pytest.raises(UnavailableError, match="status 302"):
        await discovered.find("first")
    assert len(published.requests) == 1


async def test_a_key_set_that_is_too_large_is_not_read(discovered: DiscoveredKeys, published: Any) -> None:
    """The bound of the key set bounds the download."""
    published.jwks = lambda: b" " * 300_000
    with pytest.raises(UnavailableError, match="more than 262144 bytes"):
        await discovered.find("first")


@pytest.mark.parametrize(
    "url", ["https://issuer.example", "https://a.example/tenant/", "http://localhost:1", "http://[::1]:80"]
)
def test_issuers_are_asked_over_https_or_on_loopback(url: str) -> None:
    """These are addresses of issuers."""
    check_issuer(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer",
        "http://issuer.example",
        "http://10.0.0.1",
        "ftp://a",
        "https://",
        "https://u@a",
        "https://a?b",
        "https://a#b",
        "https://[",
        "https://a:x",
    ],
)
def test_other_addresses_are_no_issuers(url: str) -> None:
    """In clear over a network, with a user, query or fragment, or no URL at all."""
    with pytest.raises(ValueError, match="issuer"):
        check_issuer(url)


@pytest.fixture
def key_file(issuer: Any, tmp_path: Path) -> Path:
    """A file with the issuer's keys."""
    path = tmp_path / "jwks.json"
    path.write_bytes(issuer.jwks())
    return path


def replace(path: Path, content: bytes) -> None:
    """Exchange the file as careful programs do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)  # noqa: PTH105 the system call that is meant


async def test_a_file_of_keys_is_read_again_when_it_changes(issuer: Any, key_file: Path, clock: Any) -> None:
    """A new key is known, and a removed one unknown, with the next token."""
    keys = FileKeys(key_file, ALGORITHMS, clock)
    assert await keys.find("first") is not None
    issuer.rotate("second")
    replace(key_file, issuer.jwks())
    assert await keys.find("first") is None
    assert await keys.find("second") is not None


async def test_a_file_that_breaks_leaves_its_keys_for_a_bounded_time(issuer: Any, key_file: Path, clock: Any) -> None:
    """Half-written or removed, the last good keys serve on, and then none do."""
    keys = FileKeys(key_file, ALGORITHMS, clock)
    replace(key_file, b"{")
    assert await keys.find("first") is not None
    key_file.unlink()
    clock.seconds += STALE
    assert await keys.find("first") is not None
    clock.seconds += 1
    with pytest.raises(UnavailableError, match="cannot be read from its file"):
        await keys.find("first")
    replace(key_file, issuer.jwks())
    assert await keys.find("first") is not None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "no such file"), (b"{", "not one JSON object"), (json.dumps({"keys": [{}] * 101}).encode(), "more than 100 keys")],
)
def test_a_file_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, clock: Any, content: bytes | None, complaint: str
) -> None:
    """The operator reads which file and why."""
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"jwks\.json cannot be used: .*{complaint}"):
        FileKeys(path, ALGORITHMS, clock)


@pytest.mark.parametrize(("padding", "taken"), [(60_000, True), (66_000, False)])
async def test_a_discovery_document_has_a_largest_size(
    discovered: DiscoveredKeys, published: Any, padding: int, taken: bool
) -> None:
    """64 KiB are read of it, and a larger one is none: the keys that it names are not asked for."""
    published.document = {"issuer": published.url, "jwks_uri": f"{published.url}/keys", "padding": "x" * padding}
    if taken:
        assert await discovered.find("first") is not None
    else:
        with pytest.raises(UnavailableError, match="sent more than 65536 bytes"):
            await discovered.find("first")
        assert "/keys" not in published.requests


async def test_an_issuer_that_takes_too_long_has_not_answered(
    fetch: Fetch, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is accepted and never served does not hold a caller for ever."""

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()
    monkeypatch.setattr(asking, "_TIMEOUT", 0.2)
    silence = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    async with silence:
        keys = discover(f"http://127.0.0.1:{silence.sockets[0].getsockname()[1]}", fetch, clock)
        with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 seconds"):
            await asyncio.wait_for(keys.find("first"), 5)
        await asyncio.wait_for(gone.wait(), 5)
