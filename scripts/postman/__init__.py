"""The Postman collection, made from the OpenAPI document."""
