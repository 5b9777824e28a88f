"""What stands between clients and routes: the protocol, the middleware and its guards."""
