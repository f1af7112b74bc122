"""Who calls a command, and what is it that tells them that it cannot be done?"""

import os
import pwd


class CommandError(Exception):
    """A command was given what it cannot use; the message says why."""


def credential() -> str:
    """Return who the audit says it was: ``cli:`` and the name of the system's user, of the one who called sudo."""
    caller = os.environ.get("SUDO_UID", "")
    number = int(caller) if caller.isdecimal() else os.getuid()
    try:
        return f"cli:{pwd.getpwuid(number).pw_name}"
    except (KeyError, OverflowError):
        return f"cli:{number}"
