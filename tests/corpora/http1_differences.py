"""Where the gateway judges a case of llhttp's or gunicorn's corpus otherwise than its source, and why; knows no parser."""

from collections.abc import Mapping, Sequence

_REFUSED_OF_LLHTTP: Mapping[str, Sequence[str]] = {
    "an empty line before a request is refused: how many of them are nothing, readers do not agree": (
        "sample#8",
        "sample#14",
        "connection#59",
        "pipelining#152",
    ),
    "HTTP/0.9": ("sample#9",),
    "a target that is not of origin form": ("method#32",),
    "another protocol than HTTP": ("method#39", "method#40", "method#41"),
    "bytes in the target that RFC 3986 does not allow there": ("uri#44", "uri#48", "uri#51"),
    "an absolute target that names another host than Host does": ("uri#46", "uri#47", "uri#49", "uri#53"),
    "leading zeros make a length octal to some": ("content-length#76", "content-length#77"),
    "chunked is the only coding that is served, alone": ("transfer-encoding#113", "transfer-encoding#114"),
}

_READ_OF_LLHTTP: Mapping[str, Sequence[str]] = {
    "the fault lies after the first request, and behind an empty line, where the case was cut": ("lenient-headers#19",),
    "what follows the last request of a connection is not read at all": (
        "connection#57",
        "connection#58",
        "connection#63",
        "connection#64",
        "connection#65",
    ),
    "the fault lies where the case was cut; until then the rest is waited for": ("transfer-encoding#116",),
    "any method in capital letters is read; one that no operation names is refused by policy": ("invalid#128", "invalid#138"),
    "nothing is wrong before the connection ends, which is no part of the bytes": ("finish#149", "finish#150"),
}

_RESPONSES_OF_LLHTTP: Mapping[str, Sequence[str]] = {
    "another protocol than HTTP": ("sample#167", "sample#168"),
    "HTTP/0.9 has no status line": ("sample#183",),
    "an empty line before a response": ("sample#185", "connection#203"),
    "what follows the last response of a connection is not passed on, and the connection is not used again": (
        "connection#192",
        "connection#193",
        "connection#194",
        "connection#195",
    ),
    "chunked is the only coding that is served, alone; others would read until the end of the connection": (
        "transfer-encoding#210",
        "transfer-encoding#211",
        "transfer-encoding#212",
    ),
    "nothing is wrong before the connection ends, and then this body is whole": ("finish#238",),
}

_REFUSED_OF_GUNICORN: Mapping[str, Sequence[str]] = {
    "the second request names no host": ("valid/018", "valid/023"),
    "bytes in the target that RFC 3986 does not allow there": ("valid/005", "valid/014"),
    "white space in a chunk extension, which llhttp refuses as well": ("valid/013",),
    "chunked is the only coding that is served, alone": (
        "valid/025",
        "valid/025_line",
        "valid/029",
        "valid/030",
        "valid/rfc9112_smuggle_gzip_chunked_01",
        "valid/rfc9112_smuggle_te_identity_chunked_01",
    ),
    "asks for a leniency that is not to be had here": (
        "valid/028",
        "valid/031compat",
        "valid/031compat2",
        "valid/compat_obs_fold",
        "valid/compat_obs_fold_huge",
    ),
    "a method begins with a letter": ("valid/031",),
    "a header that means another one to some": ("valid/040", "valid/040_compat"),
    "empty segments are one slash to some": ("valid/100",),
    "another protocol than HTTP stands before the request": ("valid/pp_01", "valid/pp_02", "valid/pp_04", "valid/pp_05"),
    "an empty line before a request is refused: how many of them are nothing, readers do not agree": (
        "valid/rfc9112_leading_crlf_01",
    ),
    "an absolute target of another scheme than the connection's": ("valid/rfc9112_target_absolute_https_01",),
    "user information in a target": ("valid/rfc9112_target_absolute_userinfo_01",),
    "there is nothing that a caller may ask of the server itself": ("valid/rfc9112_target_asterisk_options_01",),
    "no tunnel is made": ("valid/rfc9112_target_authority_connect_01", "valid/rfc9112_target_authority_ipv6_01"),
}

_READ_OF_GUNICORN: Mapping[str, Sequence[str]] = {
    "a limit of the source's, or of the case, that is lower than the one here": (
        "invalid/006",
        "invalid/007",
        "invalid/008",
        "invalid/010",
        "invalid/011",
        "invalid/012",
        "invalid/017",
        "invalid/limit_header_default_01",
    ),
    "who forwarded a request is not believed at all, so these headers contradict nothing": ("invalid/019",),
    "the fault is that nothing more comes; until then the rest is waited for": (
        "invalid/rfc9112_chunked_missing_final_crlf_01",
    ),
}


def _by_case(source: str, *tables: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {source + case: reason for table in tables for reason, cases in table.items() for case in cases}


LLHTTP = _by_case("llhttp/request/", _REFUSED_OF_LLHTTP, _READ_OF_LLHTTP)
"""The reason for each case that is judged otherwise than llhttp's tests say."""
GUNICORN = _by_case("gunicorn/", _REFUSED_OF_GUNICORN, _READ_OF_GUNICORN)
"""The same for gunicorn's."""
LLHTTP_RESPONSES = _by_case("llhttp/response/", _RESPONSES_OF_LLHTTP)
"""The same for llhttp's responses."""
