"""The documentation pages and the files they load."""
