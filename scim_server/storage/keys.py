"""What do the bits of a row's key say?

A key is one 63-bit integer: tenant (23 bits), resource type (6 bits), creation order (34 bits). So a
range of keys is everything of one tenant, or everything of one type of one tenant, in creation order.
"""

_TYPE_BITS = 6
_ORDER_BITS = 34
LAST_TENANT = (1 << 23) - 1
LAST_TYPE = (1 << _TYPE_BITS) - 1


def scope_of(tenant: int, type_number: int) -> int:
    """Return the number of a tenant's resources of one type: the key's high bits."""
    return tenant << _TYPE_BITS | type_number


def scope_range(scope: int) -> tuple[int, int]:
    """Return the first key of a scope and the first key after it."""
    return scope << _ORDER_BITS, (scope + 1) << _ORDER_BITS


def tenant_range(scope: int) -> tuple[int, int]:
    """Return the first key of a scope's whole tenant and the first key after it."""
    tenant = scope >> _TYPE_BITS
    return tenant << _TYPE_BITS + _ORDER_BITS, (tenant + 1) << _TYPE_BITS + _ORDER_BITS


def tenant_in_scope(scope: int) -> int:
    return scope >> _TYPE_BITS


def type_in_scope(scope: int) -> int:
    return scope & LAST_TYPE


def key_of(scope: int, order: int) -> int:
    return scope << _ORDER_BITS | order


def scope_in(key: int) -> int:
    return key >> _ORDER_BITS


def tenant_in(key: int) -> int:
    return key >> _TYPE_BITS + _ORDER_BITS


def order_in(key: int) -> int:
    return key & (1 << _ORDER_BITS) - 1


def type_in(key: int) -> int:
    """Return the number of the resource type of a key."""
    return key >> _ORDER_BITS & LAST_TYPE
