"""Networks: what a client's address counts as."""

from ipaddress import IPv6Address, ip_address, ip_network


def network(ip: str) -> str:
    """What an address counts as: IPv6 by its /64."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network(f"{address}/64", strict=False))
    return str(address)


def wide_network(ip: str) -> str:
    """The network that one customer may have whole: IPv4 by its /24, IPv6 by its /48."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(ip_network(f"{address}/{48 if isinstance(address, IPv6Address) else 24}", strict=False))
