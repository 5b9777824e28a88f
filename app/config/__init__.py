"""The settings: typed, documented, and refused at the start when they are wrong."""

from app.config.database_urls import driver_arguments, hosts_of, parse_database_url
from app.config.loading import ConfigurationError, load_settings
from app.config.modes import MODE_DEFAULTS, Mode
from app.config.settings import SECRETS, Settings
from app.config.values import is_loopback, parse_rate_limit

__all__ = [
    "MODE_DEFAULTS",
    "SECRETS",
    "ConfigurationError",
    "Mode",
    "Settings",
    "driver_arguments",
    "hosts_of",
    "is_loopback",
    "load_settings",
    "parse_database_url",
    "parse_rate_limit",
]
