"""Running the service: server, workers, shutdown, probes and periodic tasks."""
