"""Over the admin socket: shows the signing keys and begins an exchange of them; shows no private half and knows no operator."""

from typing import Final, final

from aiohttp import web

from gateway.authority.rotation import NotNowError, SigningKeys
from gateway.endpoints.answers import AnswerError, answer
from gateway.errors import DoorwardError

_CONFLICT: Final = 409
_UNAVAILABLE: Final = 503


@final
class KeyEndpoints:
    """`/keys`, for operators."""

    def __init__(self, keys: SigningKeys) -> None:
        """Whoever may ask was let through before."""
        self._keys = keys

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """`GET /keys`: every public key that is published, with its state."""
        return answer({"keys": list(self._keys.document())})

    async def rotate(self, _request: web.Request) -> web.StreamResponse:
        """`POST /keys/rotate`: publish the next key, which signs as soon as every gateway has to know it."""
        try:
            return answer(await self._keys.rotate())
        except NotNowError as error:
            raise AnswerError(_CONFLICT, "not_now", str(error)) from None
        except DoorwardError as error:
            raise AnswerError(_UNAVAILABLE, "keys_not_kept", str(error)) from None
