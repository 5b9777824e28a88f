"""The command satchel."""
