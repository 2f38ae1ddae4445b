"""Finds out which key or certificate a caller of the authority holds (RFC 9449, RFC 8705); knows not what it is for.

A proof is new if the store has not seen it, so that all authorities on one store accept it once. A client whose clock is wrong
is given a nonce, which then tells the time instead.
"""

from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from typing import Any, Final, final

from aiohttp import web

from gateway.authority.refused import INVALID_PROOF
from gateway.clock import Clock
from gateway.endpoints.answers import AnswerError
from gateway.endpoints.peer_certificate import certificate_of
from gateway.identity.dpop import Proof, ProofProblem, ProofReader, digest
from gateway.identity.nonces import PERIOD, Nonces
from gateway.model import Binding

WINDOW: Final = 60.0
"""Seconds by which the `iat` of a proof without a nonce may differ from now, either way."""
KEPT: Final = 2 * max(WINDOW, PERIOD)
"""Seconds for which a proof is remembered: until neither its `iat` nor its nonce would be accepted."""

Once = Callable[[str, float, float], Awaitable[bool]]
"""Whether a key is used for the first time, as `Store.once` says it."""


@final
class Proofs:
    """What callers of the authority prove beside who they are."""

    def __init__(self, *, issuer: str, once: Once, nonces: Nonces, binds_certificates: bool, clock: Clock) -> None:
        """`issuer` is the authority's own address.

        With `binds_certificates` a token is bound to the certificate of the connection, where no proof says otherwise.
        """
        self._issuer: Final = issuer
        self._once: Final = once
        self._nonces: Final = nonces
        self._binds_certificates: Final = binds_certificates
        self._clock: Final = clock
        self._reader: Final = ProofReader()

    @property
    def binds_certificates(self) -> bool:
        """Whether a token is bound to the certificate of its connection."""
        return self._binds_certificates

    async def binding(self, request: web.Request) -> Binding | None:
        """What a token that is asked for will be bound to: the key of a proof, else a certificate, else nothing.

        Raises `AnswerError`.
        """
        if "DPoP" in request.headers:
            return Binding((await self._proof(request)).jkt)
        certificate = certificate_of(request) if self._binds_certificates else None
        return None if certificate is None else Binding(None, digest(certificate.leaf))

    async def holds(self, request: web.Request, token: str, claims: Mapping[str, Any], *, by_proof: bool) -> bool:
        """Whether who sends this token of ours holds what it is bound to; `by_proof` if it came by the scheme DPoP.

        Raises `AnswerError` for a proof that is none.
        """
        confirmation = claims.get("cnf", {})
        if by_proof != ("jkt" in confirmation):
            return False
        if "x5t#S256" in confirmation and not _has_shown(request, confirmation["x5t#S256"]):
            return False
        if by_proof:
            await self._proof(request, token.encode(), confirmation["jkt"])
        return True

    def still_holds(self, request: web.Request, claims: Mapping[str, Any], binding: Binding | None) -> bool:
        """Whether who has just proved this binding holds what an earlier token of ours is bound to."""
        confirmation = claims.get("cnf", {})
        if "x5t#S256" in confirmation and not _has_shown(request, confirmation["x5t#S256"]):
            return False
        if "jkt" not in confirmation:
            return True
        return binding is not None and binding.jkt is not None and compare_digest(binding.jkt, confirmation["jkt"])

    async def _proof(self, request: web.Request, token: bytes | None = None, jkt: str | None = None) -> Proof:
        shown = request.headers.getall("DPoP", ())
        if len(shown) != 1:
            raise _refused("There has to be one DPoP header.")
        try:
            text = shown[0].encode("ascii")
            proof = self._reader.read(text, request.method, self._issuer + request.path, token, jkt)
        except (ProofProblem, UnicodeEncodeError):
            raise _refused(
                "The DPoP proof does not hold: make one as RFC 9449 says, for this method and the authority's own address."
            ) from None
        if proof.nonce is None:
            in_time = abs(self._clock.now() - proof.issued) <= WINDOW
        else:
            in_time = self._nonces.period_of(proof.nonce) is not None
        if not in_time:
            raise AnswerError(
                400,
                "use_dpop_nonce",
                "Make the proof anew with the nonce of this answer's DPoP-Nonce header.",
                {"DPoP-Nonce": self._nonces.of(self._nonces.period)},
            )
        now = self._clock.now()
        if not await self._once(f"dpop/{digest(f'{proof.jkt} {proof.id}'.encode())}", now + KEPT, now):
            raise _refused("This proof came before; make a new one for each request.")
        return proof


def _has_shown(request: web.Request, thumbprint: str) -> bool:
    certificate = certificate_of(request)
    return certificate is not None and compare_digest(digest(certificate.leaf), thumbprint)


def _refused(sentence: str) -> AnswerError:
    return AnswerError(400, INVALID_PROOF, sentence)
