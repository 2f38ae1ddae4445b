"""The command `doorward audit`: proves that a log is untouched, and shows what it holds; changes nothing."""

import argparse
import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.audit import segments
from gateway.audit.checkpoint import Checkpoint, CheckpointError, VerifierKey
from gateway.audit.rules import worker_log
from gateway.audit.show import Filter, exchanges, table
from gateway.audit.verify import Follower
from gateway.cli import audit_replay
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.settings.load import load

SUMMARY = "verify the audit log, or show what it says"

_FOUND: Final = 1
_MOST_NOTE: Final = 16_384
_AGO = re.compile(r"([0-9]{1,9})([smhd])").fullmatch
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    """Three commands: verify, show and replay."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="verify|show|replay")
    verify = commands.add_parser("verify", help="prove that nothing was edited, removed, inserted, reordered or cut off")
    add_log(verify)
    verify.add_argument(
        "--checkpoint", type=Path, action="append", default=[], metavar="FILE", help="a checkpoint that was kept elsewhere"
    )
    verify.add_argument("--key", type=Path, metavar="FILE", help="the verifier key of the checkpoints (audit.key.pub)")
    show = commands.add_parser("show", help="list exchanges, one a row")
    add_log(show)
    for option, meaning in (
        ("task", "task"), ("agent", "agent (SPIFFE ID)"), ("intent", "declared or observed intent"),
        ("request", "request id"), ("upstream", "upstream"), ("tenant", "tenant"), ("issuer", "issuer"),
    ):  # fmt: skip
        show.add_argument(f"--{option}", help=f"only of this {meaning}")
    show.add_argument("--decision", choices=("allow", "deny"), help="only with this decision")
    audit_replay.configure(commands.add_parser("replay", help=audit_replay.HELP))
    show.add_argument("--since", metavar="TIME", help="only from then on: 15m, 24h, 7d, or 2026-11-23T18:00:00Z")


def run(arguments: argparse.Namespace) -> int:
    """Do one of the three; 1 if the log is not as it was written, or tells of a breach."""
    if arguments.command == "replay":
        return audit_replay.run(arguments)
    return _verify(arguments) if arguments.command == "verify" else _show(arguments)


@dataclass(frozen=True, slots=True)
class _Log:
    """A log, and where its checkpoint key stands if a configuration says so."""

    path: Path
    key: Path | None


def add_log(parser: argparse.ArgumentParser) -> None:
    """The log, or the configuration that names it."""
    parser.add_argument("log", nargs="?", type=Path, metavar="LOG", help="a log file; without it, that of the configuration")
    parser.add_argument("-c", "--config", type=Path, default=Path("doorward.yaml"), metavar="FILE", help="the configuration")


def logs_of(arguments: argparse.Namespace) -> list[_Log]:
    """The log that was named, or all of the configuration: that of the authority, and one of each worker there ever was."""
    if arguments.log is not None:
        found = [_Log(arguments.log, None)]
    else:
        loaded = load(arguments.config)
        rule = loaded.document.audit
        key = loaded.resolve(rule.checkpoint.key.file)
        own = loaded.resolve(rule.log.path)
        workers = worker_log(own, "*")
        paths = [own, *sorted(workers.parent.glob(workers.name))]
        found = [_Log(path, key.with_name(key.name + ".pub")) for path in paths]
    if not segments.files(found[0].path):
        raise DoorwardError(f"{found[0].path}: there is no audit log; it begins with the first start of doorward serve")
    return found


def _verify(arguments: argparse.Namespace) -> int:
    logs = logs_of(arguments)
    if arguments.checkpoint and len(logs) > 1:
        raise DoorwardError("each worker has a log of its own; name the LOG that the checkpoint is of")
    verified = [_verify_one(log, arguments) for log in logs]
    if arguments.json:
        documents = [{"log": str(each.log.path), **_as_json(each)} for each in verified]
        print(json.dumps(documents[0] if len(documents) == 1 else {"logs": documents}, indent=2))
    else:
        for each in verified:
            if len(verified) > 1:
                print(f"{each.log.path}:")
            for line in _as_text(each):
                print(line)
    return _FOUND if any(each.follower.findings for each in verified) else 0


@dataclass(frozen=True, slots=True)
class _Verified:
    """What was found of one log."""

    log: _Log
    follower: Follower
    key: VerifierKey | None
    proven_to: int
    broken_end: bool
    outdated: int


def _verify_one(log: _Log, arguments: argparse.Namespace) -> _Verified:
    key = _read_key(arguments.key or log.key, needed=bool(arguments.checkpoint or arguments.key))
    kept = [_read_checkpoint(file, key) for file in arguments.checkpoint]
    beside = log.path.with_name(log.path.name + ".checkpoint")
    own = [_read_checkpoint(beside, key)] if beside.exists() else []
    follower = Follower(key=key, attested=[*kept, *own])
    broken_end = _follow(follower, log.path)
    follower.finish()
    usable = (note.size for note in kept if follower.first_seq <= note.size <= follower.proven_to)
    outdated = sum(note.size < follower.first_seq for note in kept)
    return _Verified(log, follower, key, max(usable, default=0), broken_end, outdated)


def _follow(follower: Follower, path: Path) -> bool:
    """Feed the whole log. Returns whether it ends with an incomplete line, which is no finding: a kill leaves one."""
    held: segments.Located | None = None
    for located in segments.all_lines(path):
        if held is not None:
            follower.feed(held.line, f"{held.file}:{held.number}")
        held = located
    if held is not None and held.whole:
        follower.feed(held.line, f"{held.file}:{held.number}")
    return held is not None and not held.whole


def _read_key(path: Path | None, *, needed: bool) -> VerifierKey | None:
    if path is None or (not needed and not path.exists()):
        if needed:
            raise DoorwardError("a checkpoint can only be checked with its verifier key; name it with --key FILE")
        return None
    try:
        return VerifierKey.read(_read(path))
    except CheckpointError as error:
        raise DoorwardError(f"{path}: {error}") from None


def _read_checkpoint(path: Path, key: VerifierKey | None) -> Checkpoint:
    note = _read(path)
    try:
        if key is not None:
            key.verify(note)
        return Checkpoint.read(note, str(path))
    except CheckpointError as error:
        raise DoorwardError(f"{path}: {error}") from None


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MOST_NOTE)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise DoorwardError(f"{path}: cannot be read: {reason}") from None


def _as_json(verified: _Verified) -> dict[str, Any]:
    follower, key = verified.follower, verified.key
    return {
        "intact": not follower.findings,
        "findings": [{"place": finding.place, "reason": finding.reason} for finding in follower.findings],
        "records": follower.lines,
        "first": follower.first_seq,
        "last": follower.seq,
        "signed_checkpoints": follower.signed,
        "signed_to": follower.signed_to,
        "key": None if key is None else str(key),
        "proven_to": verified.proven_to,
        "open": len(follower.opened) + follower.unclosed.count,
        "open_requests": [*follower.unclosed.named, *follower.opened][:20],
        "repeated_or_unopened": follower.strays.count,
        "incomplete_last_line": verified.broken_end,
    }


def _as_text(verified: _Verified) -> Iterator[str]:
    follower, key, proven_to = verified.follower, verified.key, verified.proven_to
    yield from (str(finding) for finding in follower.findings)
    if follower.findings:
        yield f"NOT INTACT: {len(follower.findings)} finding(s) in {follower.lines} lines"
    else:
        yield f"intact: {follower.lines} records, {follower.first_seq} to {follower.seq}"
    if verified.outdated:
        yield f"  {verified.outdated} checkpoint(s) are older than the first record here and say nothing about it"
    if follower.first_seq > 1:
        yield f"  records 1 to {follower.first_seq - 1} are not here: older files were removed, as `keep` says, or by somebody"
    if key is None:
        yield "  checkpoints: signatures not checked, for no verifier key is known (--key FILE)"
    else:
        yield f"  checkpoints: {follower.signed} signed by {key.name}, the last one of record {follower.signed_to}"
        if not follower.signed and follower.lines:
            yield "  odd: a log that was stopped in good order holds checkpoints, and this one holds none; were they removed?"
    if still_open := len(follower.opened) + follower.unclosed.count:
        named = ", ".join([*follower.unclosed.named, *follower.opened][:3])
        yield f"  open: {still_open} exchange(s) without a closing record, such as {named}"
    if follower.strays.count:
        yield f"  odd: {follower.strays.count} record(s) repeat or close what is not open, such as {follower.strays.named[0]}"
    if verified.broken_end:
        yield "  the last line is incomplete: it is being written, or the next start completes it"
    if proven_to and not follower.findings:
        yield f"proof: up to record {proven_to}, by the checkpoint that was kept elsewhere"
        yield "  what came after that could have been rewritten by whoever can write this log"
    elif not follower.findings:
        yield "proof: none against whoever can write this log: all of it could have been made anew, without its checkpoints"
        yield "  keep copies of its checkpoints elsewhere, and name one with --checkpoint FILE"


def _show(arguments: argparse.Namespace) -> int:
    wanted = Filter(
        task=arguments.task, agent=arguments.agent, intent=arguments.intent, request=arguments.request,
        decision=arguments.decision, upstream=arguments.upstream, since=since(arguments.since),
        tenant=arguments.tenant, issuer=arguments.issuer,
    )  # fmt: skip
    logs = [records_of(log.path) for log in logs_of(arguments)]
    # Each log is in the order of its time, and both records of an exchange are in one log.
    found = exchanges(heapq.merge(*logs, key=lambda record: str(record.get("time"))), wanted)
    if arguments.json:
        for exchange in found:
            print(json.dumps({"request": exchange.request, "response": exchange.response}))
        return 0
    for line in table(found):
        print(line)
    return 0


def records_of(path: Path) -> Iterable[Mapping[str, Any]]:
    """The records of one log, in their order; what cannot be read is passed over, for `verify` tells of it."""
    for located in segments.all_lines(path):
        try:
            record = orjson.loads(located.line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict):
            yield record


def since(text: str | None) -> str | None:
    """A time as records write it, from one or from how long it is ago. Raises `DoorwardError`."""
    if text is None:
        return None
    clock = Clock()
    if (ago := _AGO(text)) is not None:
        return clock.stamp(clock.now() - int(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DoorwardError(f"--since {text}: expected 15m, 24h, 7d, or a time such as 2026-11-23T18:00:00Z") from None
    return clock.stamp((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())
