"""The settings with Django REST framework."""

from benchmarks.contestants.django_peers.settings import *  # noqa: F403

INSTALLED_APPS = ["rest_framework", "benchmarks.contestants.django_peers"]
ROOT_URLCONF = "benchmarks.contestants.django_peers.rest_api"
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}
