"""Writes docs/satchel.postman_collection.json: python -m scripts.postman"""

from scripts.postman.collection import COLLECTION, write

COLLECTION.write_text(write())
