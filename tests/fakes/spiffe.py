"""A SPIFFE trust domain that signs SVIDs, and an agent that tells of bundles over the Workload API; knows no Doorward.

The agent is a real gRPC server on a Unix socket with the servicer and the messages of the package `spiffe`, whose client and
validators are the judges of what is signed here.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from spiffe._proto import workload_pb2, workload_pb2_grpc

PATH = "/ns/agents/sa/reconciler"
HOUR = timedelta(hours=1)
ANY_KEY = ec.EllipticCurvePrivateKey


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def usage(**more: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: more.get(name, False) for name in names})


@dataclass(frozen=True)
class Svid:
    """A certificate with what stands above it, without the root, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: ANY_KEY

    @property
    def der(self) -> bytes:
        return self.chain[0].public_bytes(Encoding.DER)

    @property
    def above(self) -> tuple[bytes, ...]:
        return tuple(each.public_bytes(Encoding.DER) for each in self.chain[1:])

    @property
    def key_der(self) -> bytes:
        return self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def write(self, path: Path) -> Path:
        """Into one file, as PEM."""
        parts = [each.public_bytes(Encoding.PEM) for each in self.chain]
        path.write_bytes(b"".join(parts) + self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path

    def show(self, context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
        """Let a client show it."""
        context.load_cert_chain(self.write(folder / f"{id(self)}.pem"))
        return context


class TrustDomain:
    """A root and a key for JWT-SVIDs, each of which can be replaced."""

    def __init__(self, name: str, now: float | None = None) -> None:
        self.name = name
        self.now = datetime.now(timezone.utc) if now is None else datetime.fromtimestamp(now, timezone.utc)
        self.sequence = 0
        self.rotate()

    def rotate(self, kid: str = "jwt-1") -> None:
        self.sequence += 1
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign(
            None, [f"spiffe://{self.name}"], self.root_key.public_key(), ca=True, use=usage(key_cert_sign=True)
        )
        self.kid = kid

    @property
    def root_der(self) -> bytes:
        return self.root.public_bytes(Encoding.DER)

    def jwk(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        x, y = (b64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid}

    def bundle(self) -> dict[str, Any]:
        """As a bundle endpoint gives it."""
        root = {"use": "x509-svid", "kty": "EC", "crv": "P-256", "x5c": [base64.b64encode(self.root_der).decode()]}
        keys = [root, {**self.jwk(), "use": "jwt-svid"}]
        return {"keys": keys, "spiffe_sequence": self.sequence, "spiffe_refresh_hint": 60}

    def write(self, path: Path) -> Path:
        """The bundle, exchanged at once."""
        fresh = path.with_suffix(".fresh")
        fresh.write_text(json.dumps(self.bundle()))
        return fresh.rename(path)

    def jwt_svid(
        self, path: str = "/ns/agents/sa/reconciler", *, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        now = int(self.now.timestamp())
        basis = {"sub": f"spiffe://{self.name}{path}", "aud": ["doorward"], "iat": now, "exp": now + 300}
        payload = {name: value for name, value in {**basis, **claims}.items() if value is not None}
        return jwt.encode(payload, self.key, "ES256", headers={"kid": self.kid, "typ": "JWT", **(header or {})})

    def x509_svid(  # one argument for each thing that can be wrong
        self,
        *names: str,
        ca: bool = False,
        use: x509.KeyUsage | None = None,
        extended: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        between: bool = False,
        between_ca: bool = True,
        lasts: timedelta = HOUR,
    ) -> Svid:
        key = ec.generate_private_key(ec.SECP256R1())
        uris = names or (f"spiffe://{self.name}{PATH}",)
        above: tuple[x509.Certificate, ...] = ()
        issuer: tuple[x509.Certificate, ANY_KEY] = (self.root, self.root_key)
        if between:
            between_key = ec.generate_private_key(ec.SECP256R1())
            intermediate = self._sign(
                issuer, [f"spiffe://{self.name}"], between_key.public_key(), ca=between_ca, use=usage(key_cert_sign=True)
            )
            above, issuer = (intermediate,), (intermediate, between_key)
        use = usage(digital_signature=True) if use is None else use
        leaf = self._sign(issuer, uris, key.public_key(), ca=ca, use=use, extended=extended, lasts=lasts)
        return Svid((leaf, *above), key)

    def _sign(
        self,
        issuer: tuple[x509.Certificate, ANY_KEY] | None,
        uris: Sequence[str],
        public: ec.EllipticCurvePublicKey,
        *,
        ca: bool,
        use: x509.KeyUsage,
        extended: Sequence[x509.ObjectIdentifier] = (),
        lasts: timedelta = timedelta(days=30),
    ) -> x509.Certificate:
        own = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{self.name} {self.sequence} {len(uris)} {ca}")])
        serial = x509.random_serial_number()
        if ca:
            own = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{self.name} {serial}")])
        built = (
            x509.CertificateBuilder()
            .subject_name(own)
            .issuer_name(own if issuer is None else issuer[0].subject)
            .public_key(public)
            .serial_number(serial)
            .not_valid_before(self.now - HOUR)
            .not_valid_after(self.now + lasts)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(use, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        if uris:
            built = built.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris]), critical=False
            )
        if extended:
            built = built.add_extension(x509.ExtendedKeyUsage(list(extended)), critical=False)
        return built.sign(self.root_key if issuer is None else issuer[1], hashes.SHA256())


class Agent(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """A SPIFFE agent: it knows bundles by trust domain, and gives the one workload that it has its SVIDs."""

    def __init__(self, socket: Path, *domains: TrustDomain) -> None:
        self.socket = socket
        self.domains = list(domains)
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.code: grpc.StatusCode | None = None
        self._changed = threading.Condition()
        self._version = 0
        self._stopped = False
        self._server: grpc.Server | None = None

    def start(self) -> "Agent":
        self._stopped = False
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()
        return self

    def stop(self) -> None:
        self._stopped = True
        self.tell()
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None
        self.socket.unlink(missing_ok=True)

    def tell(self) -> None:
        """Say everything anew to all who follow."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def FetchX509Bundles(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002, N802 as generated
        for _ in self._turns("FetchX509Bundles", context):
            yield workload_pb2.X509BundlesResponse(bundles={f"spiffe://{each.name}": each.root_der for each in self.domains})

    def FetchJWTBundles(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002, N802 as generated
        for _ in self._turns("FetchJWTBundles", context):
            yield workload_pb2.JWTBundlesResponse(
                bundles={f"spiffe://{each.name}": json.dumps({"keys": [each.jwk()]}).encode() for each in self.domains}
            )

    def FetchJWTSVID(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802 as generated
        domain = self.domains[0]
        token = domain.jwt_svid(aud=list(request.audience))
        svid = workload_pb2.JWTSVID(spiffe_id=f"spiffe://{domain.name}{PATH}", svid=token)
        return workload_pb2.JWTSVIDResponse(svids=[svid])

    def FetchX509SVID(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002, N802 as generated
        domain = self.domains[0]
        for _ in self._turns("FetchX509SVID", context):
            made = domain.x509_svid()
            yield workload_pb2.X509SVIDResponse(
                svids=[
                    workload_pb2.X509SVID(
                        spiffe_id=f"spiffe://{domain.name}{PATH}",
                        x509_svid=b"".join((made.der, *made.above)),
                        x509_svid_key=made.key_der,
                        bundle=domain.root_der,
                    )
                ]
            )

    def _turns(self, name: str, context: grpc.ServicerContext) -> Iterator[None]:
        """One turn now and one after every change, as long as somebody follows."""
        metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.calls.append((name, metadata))
        if metadata.get("workload.spiffe.io") != "true":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        if self.code is not None:
            context.abort(self.code, "no identity issued")
        context.add_callback(self.tell)
        seen = -1
        while context.is_active() and not self._stopped:
            with self._changed:
                self._changed.wait_for(lambda before=seen: self._version != before)
                seen = self._version
            if context.is_active() and not self._stopped:
                yield


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def public_pem(key: Any) -> bytes:
    """The public key as text, as a forger takes it for an HMAC secret."""
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
