"""The second half of the third step: who shows a bound token has to hold its key; knows no token but by what it is bound to.

Nothing that is proved here is remembered for another request, save that it was shown.
"""

from hmac import compare_digest
from typing import Final, Protocol, final

from gateway.errors import Refusal
from gateway.http.head import RequestHead
from gateway.http.websocket import OPERATION
from gateway.identity.dpop import ProofProblem, ProofReader, digest
from gateway.identity.nonces import Nonces
from gateway.identity.replays import FullError, Replays
from gateway.model import Principal, Upstream

REPLAYED: Final = "proof: replayed"
"""The cause, in the record, of a proof that came before."""
_DETAILS: Final = {
    "method": "The proof is for another method.",
    "address": "The proof is for another address; htu is the gateway's address as agents know it, without query.",
    "token": "The proof is not for this token; ath is the hash of the token as it is sent.",
    "binding": "The proof is made with another key than the one that the token is bound to.",
    "signature": "The signature of the proof does not verify.",
}


class Connection(Protocol):
    """What the client's side of a request is asked here."""

    notices: tuple[bytes, ...]
    """Lines that the answer carries besides."""

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the client has shown, as DER."""
        ...


@final
class Possession:
    """What a gateway demands of those who hold tokens."""

    def __init__(self, nonces: Nonces, replays: Replays, *, required: bool) -> None:
        """With `required` only bound tokens are accepted."""
        self.required: Final = required
        self._nonces: Final = nonces
        self._replays: Final = replays
        self._reader: Final = ProofReader()

    def prove(self, principal: Principal, head: RequestHead, upstream: Upstream, caller: Connection) -> None:
        """Return if the caller holds what its token is bound to, and raise the `Refusal` otherwise.

        A token that is bound in two ways has to be proved in both (RFC 7800 §3).
        """
        binding = principal.binding
        if binding is None:
            raise Refusal("proof_missing", "This gateway takes only tokens that are bound to a key. Ask the authority for one.")
        if binding.certificate is not None:
            _check_certificate(binding.certificate, caller.peer_certificate)
        if binding.jkt is not None:
            self._check_proof(binding.jkt, principal.issuer, head, upstream, caller)

    def _check_proof(self, jkt: str, issuer: str, head: RequestHead, upstream: Upstream, caller: Connection) -> None:
        shown = head.watched.get("dpop", ())
        if not shown:
            raise self._inviting(Refusal("proof_missing", "The token is bound to a key: send a proof by it in a DPoP header."))
        if len(shown) > 1:
            raise Refusal("proof_invalid", "There is more than one DPoP header.", cause="proof: headers")
        method = "GET" if head.method == OPERATION else head.method
        origin = upstream.resource[: len(upstream.resource) - len(upstream.prefix)]
        token = head.token or b""
        try:
            proof = self._reader.read(shown[0].value, method, origin + head.path, token.partition(b" ")[2], jkt)
        except ProofProblem as problem:
            told = _DETAILS.get(problem.code, "The proof is not one that RFC 9449 describes.")
            raise self._inviting(Refusal("proof_invalid", told, cause=f"proof: {problem.code}")) from None
        period = self._nonces.period_of(proof.nonce)
        if period is None:
            told = "Make the proof anew with the nonce of this answer's DPoP-Nonce header."
            raise self._inviting(Refusal("proof_invalid", told, cause="proof: nonce"), wanted=True)
        try:
            if not self._replays.is_new(period, f"{issuer} {jkt}", proof.id):
                raise Refusal("proof_invalid", "This proof came before; make a new one for each request.", cause=REPLAYED)
        except FullError:
            raise Refusal("overloaded", retry_after=1, cause="proof: full") from None
        now = self._nonces.period
        if period != now:
            caller.notices = (f"DPoP-Nonce: {self._nonces.of(now)}".encode("ascii"),)

    def _inviting(self, refusal: Refusal, *, wanted: bool = False) -> Refusal:
        """With a nonce, so that the next try can be the last; `wanted` if it is all that was missing."""
        refusal.nonce = self._nonces.of(self._nonces.period)
        refusal.nonce_wanted = wanted
        return refusal


def _check_certificate(thumbprint: str, certificate: bytes | None) -> None:
    """RFC 8705 §3: the certificate is the one of this very connection, and never a header's."""
    if certificate is None:
        raise Refusal("proof_missing", "The token is bound to a client certificate, and this connection has shown none.")
    if not compare_digest(certificate_hash(certificate), thumbprint):
        raise Refusal(
            "proof_invalid", "The token is bound to another certificate than this connection's.", cause="proof: certificate"
        )


def certificate_hash(certificate: bytes) -> str:
    """The `x5t#S256` of a certificate in DER (RFC 8705 §3.1)."""
    return digest(certificate)
