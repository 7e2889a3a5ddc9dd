"""Coatcheck: a token-first authentication backend."""

__version__ = "0.1.0"
