"""Accounts on Django: one project, served by Django REST framework or by django-ninja."""
