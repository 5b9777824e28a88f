"""Authentication and authorization: API keys, JWTs and the guard that asks for them."""
