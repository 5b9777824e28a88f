"""What a request passes before it reaches a route: the protocol and the middleware."""
