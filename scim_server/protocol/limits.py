"""Which limits does the server advertise and enforce?

Each number stands here once: ServiceProviderConfig, the errors and the checks all read it.
"""

MAX_RESULTS = 1_000
"""Resources in one page (RFC 7644 section 3.4.2.4); a larger ``count`` is served as this."""
DEFAULT_COUNT = 100
"""Resources in one page when the client names no ``count``."""
BULK_OPERATIONS = 300
BULK_BYTES = 4 * 1024 * 1024
PATCH_OPERATIONS = 10_000
"""Operations in one PATCH."""
PATCH_COMPARISONS = 200_000
"""Values of one attribute that the filters in the paths of one PATCH are compared with."""
RESOURCE_BYTES = 1024 * 1024
GROUP_BYTES = 32 * 1024 * 1024
"""Body of a Group: 100,000 echoed members are 17 MiB."""
GROUP_MEMBERS = 100_000
"""Members in one request."""
JSON_DEPTH = 32
FILTER_LENGTH = 16_384
"""Characters of a filter."""
FILTER_DEPTH = 32
"""Parentheses and brackets within one another in a filter."""
FILTER_TERMS = 200
"""Comparisons in a filter."""
CURSOR_SECONDS = 3_600
"""How long a cursor can be used after the page that gave it."""
