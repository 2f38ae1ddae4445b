"""`doorward token` against an authority on real sockets."""

import json
import os

import pytest
from fakes.authority import AGENT, NOW

TESTER = "spiffe://acme.example/host/tester"


@pytest.fixture(autouse=True)
def _authority(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the authority, so that no configuration is needed."""
    monkeypatch.setenv("DOORWARD_AUTHORITY", f"unix:{world.socket}")


async def test_nothing_but_the_token_is_printed(world, typed):
    """The output is one line that can be used as it is."""
    got = await typed("token", "--intent", "invoices.read")
    assert (got.status, got.err) == (0, "")
    own = await world.authority.tasks.live_token(got.out.removesuffix("\n"))
    assert own.agent == TESTER


async def test_the_whole_answer_as_json(typed):
    """With `--json` the task and the lifetime come too."""
    answer = json.loads((await typed("token", "--intent", "invoices.read", "--json")).out)
    assert (answer["scope"], answer["expires_in"], answer["token_type"]) == ("invoices.read", 300, "Bearer")


async def test_renewing_a_task(world, typed):
    """`--task` renews, without naming intents again."""
    task = json.loads((await typed("token", "--intent", "invoices.read", "--json")).out)["task"]
    token = (await typed("token", "--task", task)).out.strip()
    assert (await world.authority.tasks.live_token(token)).task == task


@pytest.mark.parametrize("where", ["unix", "tcp"])
async def test_an_identity_token_from_a_file(world, typed, monkeypatch: pytest.MonkeyPatch, where: str):
    """The JWT in the file says who asks, over either kind of socket."""
    file = world.folder / "identity"
    file.write_text(world.identity_token() + "\n")
    if where == "tcp":
        monkeypatch.setenv("DOORWARD_AUTHORITY", f"http://127.0.0.1:{world.port}/")
    got = await typed("token", "--intent", "invoices.read", "--intent", "invoices.write", "--identity-token", file)
    own = await world.authority.tasks.live_token(got.out.strip())
    assert (own.agent, own.claims["scope"]) == (AGENT, "invoices.read invoices.write")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say with --intent what the task is for"),
        (("--intent", "invoices.write"), "Policy grants no intent invoices.write to this agent"),
        (("--task", "f" * 32), "This agent has no such task"),
        (("--intent", "invoices.read", "--identity-token", "/nonexistent"), "cannot read /nonexistent"),
        (("--intent", "invoices.read", "--identity-token", os.devnull), "does not hold one token"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(typed, words, sentence):
    """On standard error, with status 1, and nothing on standard output that could be taken for a token."""
    got = await typed("token", *words)
    assert (got.status, got.out) == (1, "")
    assert sentence in got.err
    assert got.err.count("\n") == 1


async def test_a_bad_identity_token_is_not_shown(world, typed):
    """Neither the file's content nor the token is repeated."""
    file = world.folder / "identity"
    for content in (world.identity_token(exp=NOW - 5), "two canary words", "canary\x00"):
        file.write_text(content)
        got = await typed("token", "--intent", "invoices.read", "--identity-token", file)
        assert got.status == 1
        assert "canary" not in got.err
        assert content[-20:] not in got.err


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("unix:/nonexistent/authority.sock", "is doorward serve running there"),
        ("http://127.0.0.1:1", "over TCP the authority cannot tell who you are"),
        ("authority", "has to be unix:PATH, http://... or https://..."),
        ("127.0.0.1:8081", "has to be unix:PATH, http://... or https://..."),
    ],
)
async def test_an_authority_that_cannot_be_asked(typed, monkeypatch: pytest.MonkeyPatch, named: str, sentence: str):
    """The sentence says what to do about it."""
    monkeypatch.setenv("DOORWARD_AUTHORITY", named)
    got = await typed("token", "--intent", "invoices.read")
    assert got.status == 1
    assert sentence in got.err


async def test_the_configuration_names_the_authority(world, typed, monkeypatch: pytest.MonkeyPatch, configuration):
    """Without the variable the socket of the configuration is used."""
    monkeypatch.delenv("DOORWARD_AUTHORITY")
    got = await typed("token", "--intent", "invoices.read", "-c", configuration)
    assert got.out.startswith("dwt_")
    got = await typed("token", "--intent", "invoices.read", "-c", world.folder / "none.yaml")
    assert (got.status, got.out) == (1, "")
