"""The configuration of a running gateway changes as a whole or not at all, and no request notices."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.house import Build, House, ScriptedUpstream, get
from fakes.privileges import modes_hold

from gateway.errors import ConfigurationError, DoorwardError
from gateway.fetch import Fetch


def change(door: House, old: str, new: str) -> None:
    """Write the file anew, beside it and in one step, as an editor does."""
    file = door.folder / "doorward.yaml"
    text = file.read_text()
    assert old in text
    aside = door.folder / "aside.yaml"
    aside.write_text(text.replace(old, new))
    aside.rename(file)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the watch is going to notice."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


async def status(door: House, token: str, path: str = "/api/items", intent: str = "items.read") -> int:
    client = await door.connect()
    await client.send(get(path, token, intent))
    return (await client.answer()).status


def digest(door: House) -> str:
    return door.doorward.snapshot.digest


DENIED = ("intents: [items.burn, items.burn]", "intents: [items.burn, items.read]")


async def test_a_changed_file_is_noticed_and_recorded(house: Build) -> None:
    """The next request is judged by what the file says now, and the log says what has changed, by name."""
    door = await house()
    token, before = await door.token(), digest(door)
    assert await status(door, token) == 200
    change(door, *DENIED)
    with pytest.raises(DoorwardError, match="1 of 1 live tasks"):
        await door.doorward.reload.again(by="test")
    assert await status(door, token) == 200
    change(door, "denials:", "policy_drift: {at_most: 100%}\ndenials:")
    await until(lambda: digest(door) != before and not door.doorward.reload.notices())
    assert await status(door, token) == 401
    await door.stop()
    loaded = [record for record in door.records() if record["type"] == "config" and record.get("event") == "loaded"]
    assert [(record["by"], record["before"], record["policy"]) for record in loaded] == [("watch", before, digest(door))]
    assert set(loaded[0]["changed"]) == {"denials.nobody burns.intents", "policy_drift"}
    texts = [record for record in door.records() if record["type"] == "config" and record["policy"] == digest(door)]
    assert "policy_drift: {at_most: 100%}" in texts[0]["text"]


async def test_a_mistake_leaves_the_last_good_one(house: Build) -> None:
    """It is logged, recorded and shown with its place until the file is mended; then nothing of it is left."""
    door = await house()
    token, before = await door.token(), digest(door)
    change(door, "    credential: key\n", "    credential: kay\n")
    await until(lambda: bool(door.doorward.reload.notices()))
    (notice,) = door.doorward.reload.notices()
    line = (door.folder / "doorward.yaml").read_text().split("\n").index("    credential: kay") + 1
    assert notice == (
        f"policy {before} stays in force: {door.folder}/doorward.yaml:{line}:17: unknown credential 'kay'; did you mean 'key'?"
    )
    assert digest(door) == before
    assert door.doorward.unready() == []
    assert await status(door, token) == 200
    change(door, "    credential: kay\n", "    credential: key\n")
    await until(lambda: not door.doorward.reload.notices())
    assert await status(door, token) == 200
    await door.stop()
    events = [record for record in door.records() if record["type"] == "config" and "event" in record]
    assert [(record["event"], record["policy"], record["by"]) for record in events] == [("refused", before, "watch")]
    assert f"doorward.yaml:{line}:17: unknown credential" in events[0]["flaws"][0]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("tenant: flows", "tenant: others", "tenant"),
        ('listen: ["127.0.0.1:0"]', 'listen: ["127.0.0.1:0", "unix:more.sock"]', "gateway.listen"),
        ("limits: {}", "limits: {body: 1MiB}", "gateway.limits"),
        ("http://authority.test", "http://other.test", "authority.issuer"),
        ("doorward.db", "other.db", "authority.store"),
        ("unix:admin.sock", "unix:other.sock", "admin.socket"),
        ("audit.jsonl", "other.jsonl", "audit.sinks"),
    ],
)
async def test_what_needs_a_restart_is_refused_by_name(house: Build, old: str, new: str, key: str) -> None:
    """And nothing else of the file comes into force."""
    door = await house()
    before = door.doorward.snapshot
    change(door, old, new)
    change(door, "burn, items.burn]", "burn, items.write]")
    with pytest.raises(ConfigurationError) as raised:
        await door.doorward.reload.again(by="test")
    (flaw,) = raised.value.flaws
    assert flaw.message == f"'{key}' cannot change while doorward runs; restart it, or write back what was there"
    assert door.doorward.snapshot is before


async def test_a_mounted_folder_is_exchanged_by_its_link(house: Build) -> None:
    """Kubernetes turns one link round; the files' own names and times may be the same as before."""
    door = await house()
    before, file = digest(door), door.folder / "doorward.yaml"
    text = file.read_text()
    for name, content in (("..one", text), ("..two", text.replace("burn, items.burn]", "burn, items.write]"))):
        (door.folder / name).mkdir()
        (door.folder / name / "doorward.yaml").write_text(content)
        os.utime(door.folder / name / "doorward.yaml", (1, 1))
    (door.folder / "..data").symlink_to("..one")
    (door.folder / "link").symlink_to("..data/doorward.yaml")
    (door.folder / "link").rename(file)
    await asyncio.sleep(1.2)
    assert digest(door) == before
    (door.folder / "..next").symlink_to("..two")
    (door.folder / "..next").rename(door.folder / "..data")
    await until(lambda: digest(door) != before)


async def test_a_half_written_file_is_not_taken_for_a_whole_one(house: Build) -> None:
    """Without its last lines it would be a configuration too: one that denies nothing."""
    door = await house()
    before, file = digest(door), door.folder / "doorward.yaml"
    text = file.read_text()
    cut = text.index("denials:")
    audit = text.index("audit:")
    digests = set()
    with file.open("w") as half:
        for piece in (text[:cut] + text[audit:] + "#", *["#"] * 20):
            half.write(piece)
            half.flush()
            await asyncio.sleep(0.1)
            digests.add(digest(door))
        half.seek(0)
        half.truncate()
        half.write(text.replace("items.burn, items.burn", "items.burn, items.write"))
    assert digests == {before}
    await until(lambda: digest(door) != before)
    assert door.doorward.snapshot.policy.view("spiffe://flows.test/agent").denials.keys() == {"items.burn", "items.write"}


async def test_a_file_that_is_gone_or_out_of_reach_changes_nothing(house: Build) -> None:
    """The last good one serves on, and readiness tells why."""
    door = await house()
    token, before, file = await door.token(), digest(door), door.folder / "doorward.yaml"
    file.rename(door.folder / "away")
    await until(lambda: bool(door.doorward.reload.notices()))
    assert "there is no file" in door.doorward.reload.notices()[0]
    assert await status(door, token) == 200
    file.mkdir()
    with pytest.raises(DoorwardError, match="cannot read"):
        await door.doorward.reload.again(by="test")
    file.rmdir()
    (door.folder / "away").rename(file)
    await until(lambda: not door.doorward.reload.notices())
    assert digest(door) == before


async def test_permissions_that_are_given_back_are_noticed(house: Build) -> None:
    """They change neither the text nor its time."""
    with modes_hold():
        door = await house()
        file: Path = door.folder / "doorward.yaml"
        file.chmod(0)
        await until(lambda: bool(door.doorward.reload.notices()))
        file.chmod(0o600)
        await until(lambda: not door.doorward.reload.notices())


async def test_an_upload_and_a_stream_outlive_a_reload(house: Build) -> None:
    """A request that has begun finishes as it began, even where it would be refused now; the next one is refused."""
    released = asyncio.Event()

    async def slow(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n")
        await writer.drain()
        await released.wait()
        writer.write(b"data: 2\n\n" + exchange.body)
        await writer.drain()

    door = await house(slow)
    token = await door.token()
    stream, upload = await door.connect(), await door.connect()
    await stream.send(get("/api/items", token))
    assert b" 200 " in await stream.reader.readline()
    head = get("/api/items", token, "items.write", "Content-Length: 10", method="POST")
    await upload.send(head + b"12345")
    await until(lambda: door.upstream.connections == 2)
    change(door, "    credential: key\n", "    credential: key\n    at: {prefix: /elsewhere}\n")
    await door.doorward.reload.again(by="test")
    assert await status(door, token) == 404
    await upload.send(b"67890")
    released.set()
    assert (await upload.answer()).status == 200
    rest = await asyncio.wait_for(stream.reader.readuntil(b"\r\n0\r\n\r\n"), 10)
    assert b"data: 1" in rest
    assert b"data: 2" in rest
    await until(lambda: door.doorward.pool.size == 0)
    await door.stop()
    requests, _ = door.exchanges()
    assert {record["policy"] for record in requests[:2]} != {requests[2]["policy"]}


async def test_connections_stay_with_what_has_not_changed(house: Build) -> None:
    """Another grant costs no handshake; another address ends the connections to the one before."""
    door = await house()
    token = await door.token("items.read")
    for changed, connections in ((("reads and writes", "reads"), 1), (("/base", "/other"), 2)):
        assert await status(door, token) == 200
        change(door, *changed)
        credentials = door.doorward.snapshot.credentials.managed["key"]
        await door.doorward.reload.again(by="test")
        assert door.doorward.snapshot.credentials.managed["key"] is credentials
        assert await status(door, token) == 200
        assert door.upstream.connections == connections
        await until(lambda: door.doorward.pool.size == 1)


async def test_upstreams_are_known_to_the_authority_at_once(house: Build) -> None:
    """A token may be asked for an upstream that came with a reload."""
    door = await house()
    form = {"resource": "http://127.0.0.1:1/elsewhere"}
    change(door, "    credential: key\n", "    credential: key\n    at: {prefix: /elsewhere}\n")
    await door.doorward.reload.again(by="test")
    assert (await door.issue("items.read", **form))["task"]


async def test_identities_change_with_the_file(house: Build) -> None:
    """Who is no agent any more gets no token."""
    door = await house()
    await door.token()
    change(door, ": spiffe://flows.test/agent}", ": spiffe://flows.test/other}")
    change(door, "agents: [spiffe://flows.test/agent]", 'agents: ["spiffe://flows.test/*"]')
    await door.doorward.reload.again(by="test")
    issued = await door.issue("items.read")
    async with Fetch() as fetch:
        task = await fetch.request("GET", f"http://doorward/tasks/{issued['task']}", unix=str(door.folder / "admin.sock"))
    assert task.json()["agent"] == "spiffe://flows.test/other"


async def test_one_reload_at_a_time(house: Build) -> None:
    """The second one is told so, and the first one comes into force."""
    door = await house()
    before = digest(door)
    change(door, "burn, items.burn]", "burn, items.write]")
    first, second = await asyncio.gather(
        door.doorward.reload.again(by="one"), door.doorward.reload.again(by="two"), return_exceptions=True
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, DoorwardError)
    assert digest(door) != before


async def test_many_mistakes_are_told_and_counted(house: Build) -> None:
    """A file of nonsense fills neither the log nor the record."""
    door = await house()
    change(door, "denials:", "denials:\n" + "  - {name: [1], intents: [a.b]}\n" * 50)
    with pytest.raises(ConfigurationError):
        await door.doorward.reload.again(by="test")
    await door.stop()
    (event,) = [record for record in door.records() if record.get("event") == "refused"]
    assert len(event["flaws"]) == 20
    assert event["further"] >= 30
