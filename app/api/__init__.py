"""The HTTP contract of resources: routes, bodies, queries, conditions, idempotency, responses."""
