"""Networks: what a client's address counts as.

One customer has an IPv6 /64 at least, often a /56 and sometimes a /48; so limits of an address hold for these too, with
larger allowances, and likewise for an IPv4 /24.
"""

from ipaddress import IPv6Address, ip_address, ip_network

_IPV4 = ((24, 10), (32, 1))  # length of the prefix, and how many times an address's allowance it has
_IPV6 = ((48, 10), (56, 2), (64, 1))


def networks(ip: str) -> list[tuple[str, int]]:
    """The networks of an address, the widest first, and how many times an address's allowance each has.

    The widest first, so that a network that is over its limit makes no counters for what is in it.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return [(ip, 1)]  # a UNIX socket
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    prefixes = _IPV6 if isinstance(address, IPv6Address) else _IPV4
    return [(str(ip_network((address, length), strict=False)), times) for length, times in prefixes]


def network(ip: str) -> str:
    """What an address counts as by itself: IPv6 by its /64."""
    return networks(ip)[-1][0]


def wide_network(ip: str) -> str:
    """The network that one customer may have whole: IPv4 by its /24, IPv6 by its /48."""
    return networks(ip)[0][0]
