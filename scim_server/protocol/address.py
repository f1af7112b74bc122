"""What is an e-mail address?"""

import re

# Atoms of RFC 5321 section 4.1.2 and RFC 6531 section 3.3; quoted ones are not taken.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_LABEL = r"[A-Za-z0-9\x80-\U0010ffff-]+"
# What begins like an encoded word of RFC 2047 is decoded by readers of mail, to another address.
_ADDRESS = re.compile(rf"(?!.*=\?)(?P<local>{_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Tell whether mail can be sent to a text: local part and domain, without quotes, comments or spaces."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and text.isprintable() and len(found["local"].encode()) <= 64 and len(text.encode()) <= 254
