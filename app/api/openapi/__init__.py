"""The OpenAPI document: what FastAPI derives, completed with what it cannot know."""
