"""Task tokens for the load: one from the authority's endpoint, and thousands by its own signing code; knows no proxy."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import jwt

from benchmarks.scene import INTENT, Scene


def issue(scene: Scene, scope: str = INTENT, params: dict[str, str] | None = None) -> None:
    """Get the scene its token and the keys that verify it, from the authority of the Doorward that runs in it."""
    asyncio.run(_issue(scene, scope, params))


async def _issue(scene: Scene, scope: str, params: dict[str, str] | None) -> None:
    from gateway.fetch import Fetch

    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "peer",
        "subject_token_type": "urn:doorward:unix-peer",
        "scope": scope,
    }
    if params:
        form["authorization_details"] = json.dumps([{"type": "agent_task", "intents": scope.split(), "params": params}])
    unix = str(scene.folder / "doorward" / "authority.sock")
    async with Fetch() as fetch:
        answer = (await fetch.request("POST", "http://a/token", form=form, unix=unix)).json()
        scene.token = answer["access_token"]
        scene.jwks = (await fetch.request("GET", "http://a/jwks.json", unix=unix)).json()


def mint(scene: Scene, count: int) -> Iterator[str]:
    """Tokens of the same task as the scene's, each with an id of its own and so with a signature of its own."""
    from gateway.authority.key_folder import KeyFolder
    from gateway.authority.tokens import TokenMaker
    from gateway.stores.store import IssuedToken, TaskRow

    claims = jwt.decode(scene.token.removeprefix("dwt_"), options={"verify_signature": False})
    task = TaskRow(
        id=claims["txn"],
        tenant=claims["tenant"],
        agent=claims["act"]["sub"],
        subject=claims["sub"],
        starter=claims["act"]["sub"],
        intents=tuple(claims["scope"].split()),
        opened=claims["task_iat"],
        ends=claims["exp"],
        policy=claims["policy"],
        params=claims["authorization_details"][0].get("params", {}),
    )
    keys = KeyFolder(scene.folder / "doorward").load()
    maker = TokenMaker(keys, issuer=claims["iss"], audience=claims["aud"], prefix="dwt_")
    mark = time.time_ns()
    with asyncio.Runner() as runner:
        for number in range(count):
            issued = IssuedToken(f"{mark:020x}{number:012x}", task.id, claims["exp"], claims["epoch"])
            yield runner.run(maker.mint(issued, task, task.intents, policy=claims["policy"], now=claims["iat"]))


def mint_into(scene: Scene, file: Path, count: int) -> None:
    """One token a line."""
    with file.open("w") as out:
        out.writelines(f"{token}\n" for token in mint(scene, count))
