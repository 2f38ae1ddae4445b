"""How the authority says no, in the codes of OAuth (RFC 6749 §5.2, RFC 8693 §2.2.2); knows no status and no header."""

from typing import Final

INVALID_REQUEST: Final = "invalid_request"
INVALID_GRANT: Final = "invalid_grant"
INVALID_SCOPE: Final = "invalid_scope"
INVALID_PROOF: Final = "invalid_dpop_proof"
"""RFC 9449 §5."""
INVALID_TARGET: Final = "invalid_target"
INVALID_DETAILS: Final = "invalid_authorization_details"
UNAUTHORIZED_CLIENT: Final = "unauthorized_client"
TOO_MANY: Final = "too_many_tasks"
"""Not a code of OAuth: the request is in order, and may be again when tasks have ended."""


class RefusedError(Exception):
    """The authority does not do what was asked. Both parts may be shown to whoever asked, and hold no token."""

    def __init__(self, code: str, sentence: str) -> None:
        """`sentence` says what to do about it."""
        super().__init__(code)
        self.code: Final = code
        self.sentence: Final = sentence
