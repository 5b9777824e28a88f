"""The peers: each is the accounts API as its own community would write it."""
