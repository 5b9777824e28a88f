"""Mirrors app/api/imports."""
