"""Satchel: accounts and the items they own, as a service."""

__version__ = "0.1.0"
