"""Is there a Coatcheck server at this address? For the settings screen."""

from . import words
from .refusals import Refused, Unreachable, Untrusted
from .wire import Wire


async def check(address: str) -> tuple[bool, str]:
    """Whether it can be used, and a sentence. Raises AddressRefused."""
    wire = Wire(address)
    try:
        about = await wire.send("GET", "/.well-known/oauth-authorization-server")
        status = (await wire.send("GET", "/readyz")).get("status")
    except Untrusted:
        return False, words.UNTRUSTED
    except (Refused, Unreachable):
        return False, "Nothing answered there. Check the address and your connection."
    finally:
        await wire.close()
    if "token_endpoint" not in about:
        return False, "Something answered there, but it isn't Coatcheck. Check the address."
    return True, "This server is ready." if status == "ok" else "This server works, a little slower than usual."
