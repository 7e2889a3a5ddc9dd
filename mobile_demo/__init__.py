"""Coatcheck on the phone: a small Kivy app for the native door.

The core (everything that doesn't import kivy) runs headless: `session.py` is its heart.
"""
