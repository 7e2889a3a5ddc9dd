"""The screens by name; each has a .kv file of the same name beside it."""

from .activity import Activity
from .devices import Devices
from .home import Home
from .no_room import NoRoom
from .page import Page
from .second_step import SecondStep
from .settings import SettingsPage
from .sign_in import SignIn
from .sign_up import SignUp

SCREENS: dict[str, type[Page]] = {
    "page": Page,
    "sign_in": SignIn,
    "second_step": SecondStep,
    "no_room": NoRoom,
    "sign_up": SignUp,
    "home": Home,
    "devices": Devices,
    "activity": Activity,
    "settings": SettingsPage,
}
