"""The seal on Android: an AES key that lives in the system's Keystore and never leaves it, not even towards this app.

Reached through pyjnius. This file can't run where there is no Android; what could be tried elsewhere (the cipher calls
and the conversion of byte arrays, on a desktop's Java) is told in docs/mobile.md. The key is lost when the app is
removed, and it isn't part of any backup: a restored file can't be opened, which means signed out.
"""

import importlib
from typing import Any

from .seals import CannotOpen

_ALIAS = "coatcheck.session"
_TRANSFORMATION = "AES/GCM/NoPadding"
_NONCE_BYTES = 12  # chosen by the Keystore, which refuses to take one from outside
_TAG_BITS = 128


class AndroidSeal:
    """Fails closed: whatever Java throws while opening means that nothing was kept."""

    name = b"android"
    protects = "Your ticket is kept encrypted. Its key lies in this phone's key store and can't be copied out."

    def close(self, content: bytes) -> bytes:
        """Makes the key at the first time. Raises OSError when the Keystore refuses."""
        try:
            cipher = _class("javax.crypto.Cipher").getInstance(_TRANSFORMATION)
            cipher.init(_class("javax.crypto.Cipher").ENCRYPT_MODE, _as("java.security.Key", _key() or _new_key()))
            cipher.updateAAD(self.name)
            return _bytes(cipher.getIV()) + _bytes(cipher.doFinal(content))
        except Exception as error:  # JavaException exists on Android only
            raise OSError("the Keystore refused") from error

    def open(self, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        try:
            key = _key()
            if key is None:
                raise CannotOpen
            spec = _class("javax.crypto.spec.GCMParameterSpec")(_TAG_BITS, sealed[:_NONCE_BYTES])
            nonce = _as("java.security.spec.AlgorithmParameterSpec", spec)
            cipher = _class("javax.crypto.Cipher").getInstance(_TRANSFORMATION)
            cipher.init(_class("javax.crypto.Cipher").DECRYPT_MODE, _as("java.security.Key", key), nonce)
            cipher.updateAAD(self.name)
            return _bytes(cipher.doFinal(sealed[_NONCE_BYTES:]))
        except Exception as error:  # the same: a bad tag, a lost key, a locked Keystore
            raise CannotOpen from error


def _key() -> Any:
    """The key's handle, None when there is none yet."""
    store = _class("java.security.KeyStore").getInstance("AndroidKeyStore")
    store.load(None)
    return store.getKey(_ALIAS, None)


def _new_key() -> Any:
    properties = _class("android.security.keystore.KeyProperties")
    builder = _class("android.security.keystore.KeyGenParameterSpec$Builder")(
        _ALIAS, properties.PURPOSE_ENCRYPT | properties.PURPOSE_DECRYPT
    )
    builder.setBlockModes("GCM")
    builder.setEncryptionPaddings("NoPadding")
    builder.setKeySize(256)
    generator = _class("javax.crypto.KeyGenerator").getInstance("AES", "AndroidKeyStore")
    generator.init(_as("java.security.spec.AlgorithmParameterSpec", builder.build()))
    return generator.generateKey()


def _class(name: str) -> Any:
    return importlib.import_module("jnius").autoclass(name)


def _as(name: str, instance: Any) -> Any:
    """The same object under the name of what it is wanted as. Of several methods of one name pyjnius chooses by that;
    left to itself it takes a key for a certificate."""
    return importlib.import_module("jnius").cast(name, instance)


def _bytes(array: Any) -> bytes:
    """Java's bytes are signed, and come as a list or as pyjnius's own array."""
    return bytes(array[at] & 0xFF for at in range(len(array)))
