"""Accounts: people and organisations that own items."""
