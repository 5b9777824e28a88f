"""API keys: their form, their table, and finding them fast."""
