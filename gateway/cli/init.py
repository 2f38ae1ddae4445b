"""`doorward init`: writes a commented configuration for one upstream, or adds one to a file; never sees a secret."""

import argparse
import json
import os
import pwd
import re
import shutil
import socket
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from gateway.cli.schema import schema_text
from gateway.clock import Clock
from gateway.errors import ConfigurationError, DoorwardError
from gateway.http.networks import is_permitted
from gateway.settings.insertion import insert, is_only_extended
from gateway.settings.load import Loaded, load, load_text
from gateway.settings.scalars import resolve
from gateway.settings.starter import SCHEMA_FILE, Start, configuration, entries, scalar, values
from gateway.settings.web_address import read_url

SUMMARY = "write a commented configuration for one upstream, or add one to a file"

_TENANT: Final = "default"
_EXCEPTION: Final = timedelta(days=90)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,57}").fullmatch
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*").fullmatch
_NOT_IN_A_SEGMENT = re.compile(r"[^A-Za-z0-9._-]")


def configure(parser: argparse.ArgumentParser) -> None:
    """The upstream, how its secret enters a request, and where the secret comes from."""
    parser.add_argument("--upstream", required=True, metavar="URL", help="the address of the API")
    parser.add_argument("--name", required=True, help="what to call it; agents reach it at /NAME")
    inject = parser.add_mutually_exclusive_group(required=True)
    inject.add_argument("--header", metavar="HEADER", help="the API takes its key in this header, such as X-Api-Key")
    inject.add_argument("--bearer", action="store_true", help="the API takes its key as Authorization: Bearer")
    parser.add_argument("--mcp", action="store_true", help="the upstream is a server of MCP, and the URL is its endpoint")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--secret-env", metavar="VARIABLE", help="the key is in this environment variable of `doorward serve`")
    secret.add_argument("--secret-file", metavar="PATH", help="the key is in this file")
    parser.add_argument("--out", metavar="FILE", default="doorward.yaml", help="the file to write (default doorward.yaml)")
    parser.add_argument("--add", action="store_true", help="add to the file and change nothing else in it")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, prove that it is valid, and print what to type next."""
    file = Path(arguments.out)
    if arguments.add:
        loaded = load(file)
        start = _start(arguments, file, _agents(loaded))
        _add(loaded, start)
        written = [str(file)]
    else:
        start = _start(arguments, file, (_agent(),))
        written = _create(file, start)
    _say(arguments, file, start, written)
    return 0


def _start(arguments: argparse.Namespace, file: Path, agents: tuple[str, ...]) -> Start:
    if _NAME(arguments.name) is None:
        raise DoorwardError("--name has at most 58 characters: lower-case letters, digits, dots, dashes and underscores")
    if arguments.name.startswith("x-") or not isinstance(resolve(arguments.name, None, plain=True), str):
        raise DoorwardError("YAML would not read this --name as the name of an upstream; choose one that begins with a word")
    try:
        host = read_url(arguments.upstream).origin.host
    except ValueError as error:
        raise DoorwardError(f"--upstream: {error}") from None
    networks, note = _networks(host)
    today = datetime.fromtimestamp(Clock().now(), timezone.utc).date()
    return Start(
        name=arguments.name,
        url=arguments.upstream,
        secret=_secret(arguments, file),
        inject="{bearer: {}}" if arguments.bearer else f"{{header: {scalar(arguments.header)}}}",
        networks=networks,
        network_note=note,
        user=_user(),
        agents=agents,
        today=today,
        expires=today + _EXCEPTION,
        mcp=arguments.mcp,
    )


def _secret(arguments: argparse.Namespace, file: Path) -> str:
    name = arguments.secret_env
    if name is None:
        path = Path(arguments.secret_file)
        return f"{{file: {scalar(str(path) if path.is_absolute() else os.path.relpath(path, file.parent))}}}"
    # A key pasted here by mistake must not reach the file: what is no variable's usual name has to exist as one.
    if _VARIABLE(name) is None and name not in os.environ:
        raise DoorwardError("--secret-env takes the name of an environment variable, such as BILLING_KEY, never the secret")
    return f"{{env: {scalar(name)}}}"


def _networks(host: str) -> tuple[tuple[str, ...], str]:
    """Where a name may resolve to: what it resolves to now, public addresses taken together."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ("public",), "the name did not resolve when this was written; name private networks here"
    addresses = sorted(
        {ip_address(str(address[0]).partition("%")[0]) for *_, address in found}, key=lambda one: (one.version, int(one))
    )
    networks = dict.fromkeys("public" if is_permitted(one, ("public",)) else f"{one}/{one.max_prefixlen}" for one in addresses)
    return tuple(networks), "where the name may resolve to: public, or networks"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _agent() -> str:
    return f"spiffe://{_TENANT}.local/host/{_NOT_IN_A_SEGMENT.sub('-', _user())}"


def _agents(loaded: Loaded) -> tuple[str, ...]:
    """Who gets the new grant: this user's agent if the file has one, else the agents of the first grant."""
    for identity in loaded.positions.value["identities"].values():
        agent = (identity.get("unix") or {}).get("users", {}).get(_user())
        if agent is not None:
            return (str(agent),)
    return tuple(loaded.document.grants[0].agents)


def _add(loaded: Loaded, start: Start) -> None:
    file, before, names = loaded.file, loaded.own.value, values(start)
    for section, added in names.items():
        for name in added:
            if name in _names(loaded.positions.value.get(section)):
                raise DoorwardError(f"{file} already has '{name}' under '{section}'; choose another --name")
    text = file.read_bytes().decode()
    extended = insert(text, loaded.own, entries(start))
    try:
        after = load_text(extended.removeprefix("\ufeff"), file).own.value
    except ConfigurationError as error:
        raise DoorwardError(f"nothing was written: with the addition, {error.flaws[0].message}") from None
    if not is_only_extended(before, after, names):
        raise DoorwardError(f"nothing was written: {file} is laid out so that an addition would change other entries")
    _replace(file, extended)


def _names(section: object) -> Sequence[str]:
    if isinstance(section, dict):
        return list(section)
    return [entry.get("name", "") for entry in section] if isinstance(section, list) else []


def _replace(file: Path, text: str) -> None:
    """Change the file in one step, so that no reader ever sees half of it."""
    target = file.resolve()
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as aside:
            aside.write(text.encode())
            aside.flush()
            os.fsync(aside.fileno())
        shutil.copymode(target, aside.name)
        Path(aside.name).replace(target)
    except OSError as error:
        raise DoorwardError(f"cannot write {file}: {error.strerror}") from None


def _create(file: Path, start: Start) -> list[str]:
    text = configuration(start, _TENANT)
    try:
        load_text(text, file)
    except ConfigurationError as error:
        raise DoorwardError(f"nothing was written: {error.flaws[0].message}") from None
    written = []
    for path, content in ((file, text), (file.parent / SCHEMA_FILE, schema_text())):
        try:
            with path.open("x", encoding="utf-8", newline="") as new:
                new.write(content)
            written.append(str(path))
        except FileExistsError:
            if path == file:
                sentence = f"{file} exists and is never overwritten; add to it with --add, or name another with --out"
                raise DoorwardError(sentence) from None
        except OSError as error:
            raise DoorwardError(f"cannot write {path}: {error.strerror}") from None
    return written


def _say(arguments: argparse.Namespace, file: Path, start: Start, written: Sequence[str]) -> None:
    option = "" if str(file) == "doorward.yaml" else f" -c {file}"
    token = f"doorward token{option} --intent {start.intents[0]}"
    gateway = load(file).document.gateway
    headers = f'-H "Authorization: Bearer $({token})"'
    if start.mcp:
        ping = """-H 'Content-Type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"ping"}'"""
        call = f"curl {headers} -H 'Accept: application/json, text/event-stream' {ping} {gateway.url}/{start.name}"
    else:
        call = f'curl {headers} -H "{gateway.intent_header}: {start.intents[0]}" {gateway.url}/{start.name}/'
    commands = [f"doorward serve{option}", call]
    if arguments.json:
        print(json.dumps({"written": written, "next": commands}))
        return
    print(f"wrote {' and '.join(written)}" if not arguments.add else f"added '{start.name}' to {file}")
    if arguments.secret_env is not None and arguments.secret_env not in os.environ:
        print(f"first set {arguments.secret_env} to the API's key, in the environment of `doorward serve`")
    if arguments.secret_file is not None and not Path(arguments.secret_file).exists():
        print(f"first put the API's key into {arguments.secret_file}, readable by you alone")
    print("then:", *commands, sep="\n  ")
