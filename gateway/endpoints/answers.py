"""Turns what the authority says into HTTP answers, errors included; knows no endpoint."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.authority.refused import TOO_MANY, RefusedError
from gateway.errors import Refusal
from gateway.stores.store import StoreUnavailableError, TaskEndedError, TaskUnknownError

_LATER: Final = {"Retry-After": "2"}
# RFC 6749 §5.1: whatever holds a token, and what says why there is none, stays out of every cache.
_NO_STORE: Final = {"Server": "doorward", "Cache-Control": "no-store", "Pragma": "no-cache"}
_STATUS_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not_found", "Nothing answers at this path."),
    405: ("method_not_allowed", "Use one of the methods in Allow."),
    408: ("request_timeout", "Send the whole request at once."),
    413: ("request_too_large", "Send a request of at most 64 KiB."),
}


_ERROR: Final = web.ResponseKey("error", str)


class AnswerError(Exception):
    """A request gets an error instead of what it asked for. All of it may be shown, and none of it holds a token."""

    def __init__(self, status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        """`code` and `sentence` become `error` and `error_description` (RFC 6749 §5.2)."""
        super().__init__(code)
        self.status: Final = status
        self.code: Final = code
        self.sentence: Final = sentence
        self.headers: Final = dict(headers or {})


def answer(members: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer that no cache keeps."""
    return web.json_response(members, status=status, headers={**_NO_STORE, **(headers or {})})


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every foreseeable error of the authority in the one form of RFC 6749 §5.2."""
    try:
        return await handler(request)
    except AnswerError as error:
        return _error(error.status, error.code, error.sentence, error.headers)
    except RefusedError as error:
        later = error.code == TOO_MANY  # RFC 6585 §4
        return _error(429 if later else 400, error.code, error.sentence, _LATER if later else None)
    except TaskUnknownError:
        return _error(404, "task_unknown", "There is no such task, or it is not yours.")
    except TaskEndedError as error:
        return _error(409, "task_ended", f"The task has ended already: {error.state}.")
    except StoreUnavailableError:
        return _unavailable("The store of the authority cannot be used now; nothing was issued. Retry later.")
    except Refusal as refusal:
        return _unavailable(f"{refusal.problem.title} {refusal.problem.remedy}")
    except web.HTTPException as error:
        code, sentence = _STATUS_ERRORS.get(error.status, ("invalid_request", "The request cannot be read."))
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return _error(error.status, code, sentence, kept)


def counting(counts: Counter[tuple[str, str]]) -> Middleware:
    """Count each answer by its endpoint and its error; what no endpoint answers, and what was done, have empty names."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        done = await handler(request)
        resource = request.match_info.route.resource
        counts["" if resource is None else resource.canonical, done.get(_ERROR, "")] += 1
        return done

    return count


def _unavailable(sentence: str) -> web.Response:
    return _error(503, "temporarily_unavailable", sentence, _LATER)


def _error(status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None) -> web.Response:
    made = answer({"error": code, "error_description": _plain(sentence)}, status, headers)
    made[_ERROR] = code
    return made


def _plain(sentence: str) -> str:
    # RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
    return "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "'" for letter in sentence)
