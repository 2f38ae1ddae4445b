"""Finds the users of this machine by name or number; knows nothing of which agent or operator they are."""

import pwd


def user_id(user: str) -> int:
    """The user id for a name, or for an id written in digits where the machine has no name for it. Raises `ValueError`."""
    if user.isascii() and user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise ValueError(f"this machine has no user {user}; create it, or list its user id instead") from None
