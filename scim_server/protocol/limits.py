"""Which limits does the server advertise and enforce?

Each number stands here once: ServiceProviderConfig, the errors and the checks all read it.
"""

MAX_RESULTS = 1_000
"""Resources in one page (RFC 7644 section 3.4.2.4); a larger ``count`` is served as this."""
DEFAULT_COUNT = 100
"""Resources in one page when the client names no ``count``."""
BULK_SECONDS = 10
"""How long a Bulk may keep other writers waiting; what is left of it then is refused."""
PATCH_OPERATIONS = 1_000
"""Operations in one PATCH."""
PATCH_PATHS = 256 * 1024
"""Characters of all paths in one PATCH."""
PATCH_COMPARISONS = 1_000_000
"""Values of an attribute that one PATCH looks at, counted for each comparison; long ones count several times."""
RESOURCE_BYTES = 1024 * 1024
GROUP_BYTES = 32 * 1024 * 1024
"""Body of a Group: 100,000 echoed members are 17 MiB."""
ANSWER_BYTES = 4 * 1024 * 1024
"""An answer that is kept for a repeated request."""
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
CSV_ROWS = 300
"""Accounts in one CSV file that is imported."""
CSV_BYTES = 4 * 1024 * 1024
