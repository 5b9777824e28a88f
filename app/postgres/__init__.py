"""PostgreSQL: engines, sessions, coalescing, what failures mean, and migrations."""
