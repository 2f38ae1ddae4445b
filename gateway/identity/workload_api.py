"""Follows the trust bundles that a SPIFFE agent tells over its Workload API; knows no identity and verifies nothing.

The API is gRPC on a Unix socket. Its messages are made here from the fields that the standard gives them (SPIFFE Workload
API §6): four small messages are less than the generated code of a package, which is bound to one release of protobuf and
would bring validators that are not ours. grpcio and protobuf are loaded with the first bundle that comes from here.
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Literal, NamedTuple

from gateway.fetched import FetchError
from gateway.identity.kept import ContentProblem

Kind = Literal["JWT", "X509"]

MESSAGE_BYTES: Final = 1024 * 1024
"""The largest message of an agent that is read: it may hold the bundles of many trust domains."""
# Without it an agent answers InvalidArgument, so that no browser can be talked into asking (Workload API §4).
_HEADER: Final = (("workload.spiffe.io", "true"),)
_MISSING: Final = "a bundle from a SPIFFE agent needs grpcio and protobuf: pip install 'doorward[spiffe]'"


class _Messages(NamedTuple):
    request: Any
    response: Any


def check_installed() -> None:
    """Raises `ValueError` with what to do if the packages for it are missing."""
    if find_spec("grpc") is None or find_spec("google.protobuf") is None:
        raise ValueError(_MISSING)


async def follow(socket: str, kind: Kind, trust_domain: str) -> AsyncGenerator[bytes, None]:
    """Yield the bundle of a trust domain now and whenever anything changes: JSON for `JWT`, DER for `X509`.

    `socket` is a path. Each message holds everything: what is not in it is no more. Raises `FetchError` and `ContentProblem`.
    """
    import grpc  # noqa: PLC0415 see the first lines

    messages = _messages(kind)
    options = (("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.enable_http_proxy", 0))
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, f"bundles of {trust_domain}")
    channel = grpc.insecure_channel(f"unix:{socket}", options=options)
    call: Any = channel.unary_stream(
        f"/SpiffeWorkloadAPI/Fetch{kind}Bundles",
        request_serializer=messages.request.SerializeToString,
        response_deserializer=messages.response.FromString,
    )(messages.request(), metadata=_HEADER)
    try:
        # One thread waits for the next message: grpcio's own event loop cannot live in several loops of one process.
        while (response := await loop.run_in_executor(thread, partial(next, call, None))) is not None:
            bundle = response.bundles.get(f"spiffe://{trust_domain}")
            if bundle is None:
                raise ContentProblem(f"the SPIFFE agent has no bundle of the trust domain {trust_domain}")
            yield bytes(bundle)
    except grpc.RpcError:
        raise FetchError(f"the SPIFFE agent at unix:{socket} {_what_happened(call.code().name)}") from None
    finally:
        call.cancel()
        channel.close()
        thread.shutdown(wait=False, cancel_futures=True)


def _what_happened(code: str) -> str:
    match code:
        case "UNAVAILABLE":
            return "cannot be reached"
        case "PERMISSION_DENIED":
            return "gives this process nothing: register Doorward as a workload (PERMISSION_DENIED)"
    return f"answered {code}"


@cache
def _messages(kind: Kind) -> _Messages:
    """The request and the response of one call, in a pool of their own, so that no other copy of the file is in the way."""
    descriptors, pools, factory = (
        import_module(f"google.protobuf.{name}") for name in ("descriptor_pb2", "descriptor_pool", "message_factory")
    )
    file = descriptors.FileDescriptorProto(name=f"{kind}_bundles.proto", syntax="proto3")
    file.message_type.add(name=f"{kind}BundlesRequest")
    response = file.message_type.add(name=f"{kind}BundlesResponse")
    field = descriptors.FieldDescriptorProto
    # `map<string, bytes> bundles`: field 1 of the JWT response, field 2 of the X.509 response, where 1 is `crl`.
    number = 1 if kind == "JWT" else 2
    entry = response.nested_type.add(name="BundlesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    response.field.add(
        name="bundles",
        number=number,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=f".{kind}BundlesResponse.BundlesEntry",
    )
    pool = pools.DescriptorPool()
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"{kind}Bundles{end}") for end in ("Request", "Response"))
    return _Messages(*map(factory.GetMessageClass, found))
