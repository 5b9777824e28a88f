"""JWTs of an identity provider. Importing its modules imports cryptography."""
