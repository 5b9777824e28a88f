"""What the Makefile does that takes more than a line."""
