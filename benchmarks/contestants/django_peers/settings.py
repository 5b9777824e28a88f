"""The settings of both, as `startproject` writes them, without what serves pages to people."""

import os

SECRET_KEY = "only for measuring"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["benchmarks.contestants.django_peers"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "benchmarks.contestants.django_peers.ninja_api"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"],
        "OPTIONS": {
            "pool": {
                "min_size": int(os.environ["POOL_SIZE"]),
                "max_size": int(os.environ["POOL_SIZE"]),
            }
        },
    }
}
USE_TZ = True
TIME_ZONE = "UTC"
