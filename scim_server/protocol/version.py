"""Has the resource changed since the client read it? (RFC 7644 section 3.14)"""

import re

from scim_server.protocol.errors import ScimError
from scim_server.protocol.wording import say

_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def check_match(version: str, if_match: str | None) -> None:
    """Refuse a write with 412 unless If-Match names the current version.

    Tags are compared by their opaque part: HTTP's strong comparison would refuse every weak tag,
    and section 3.14 uses just those.
    """
    if if_match is not None and not _names(version, if_match):
        raise ScimError(412, say("The resource has changed: its version is {version}.", version=version))


def is_known(version: str, if_none_match: str | None) -> bool:
    """Tell whether If-None-Match names the current version, so that 304 is the answer."""
    return if_none_match is not None and _names(version, if_none_match)


def _names(version: str, tags: str) -> bool:
    if tags.strip() == "*":
        return True
    opaque = version.removeprefix("W/")
    return opaque in _ENTITY_TAG.findall(tags)
