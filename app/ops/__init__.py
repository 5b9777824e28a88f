"""Running Satchel: the server, probes and logs."""
