"""Items: what accounts own."""
