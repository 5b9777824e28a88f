"""The way to PostgreSQL: engines, schema conventions, constraint names, pages, migrations."""
