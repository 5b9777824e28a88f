"""The table, which is there already."""

import uuid

from django.db import models


class Account(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)
    email = models.EmailField(unique=True)
    username = models.CharField(max_length=100)
    dob = models.DateField(null=True, blank=True)
    country = models.CharField(max_length=2, null=True, blank=True)
    phone_number = models.CharField(max_length=20, null=True, blank=True)

    class Meta:
        app_label = "django_peers"
        db_table = "accounts"
        managed = False
        ordering = ("-created",)
