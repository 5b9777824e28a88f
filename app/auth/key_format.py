"""The format of API keys: `satchel_<mode>_<random>_<checksum>`.

Typos and keys of another mode are refused without a look at the database, and secret scanners can
recognise a key with certainty.
"""

import re
import secrets
import string
from hashlib import sha256
from typing import Final
from zlib import crc32

_LETTERS: Final = string.ascii_letters + string.digits
_LENGTH: Final = 43  # of 62 letters: 256 bits
_PREFIX_LENGTH: Final = 8  # letters of the random part
_KEY: Final = re.compile(rb"(satchel_[a-z]+_[A-Za-z0-9]{43})_([0-9a-f]{8})")


def make_key(mode: str) -> str:
    """A new key. The service does not store it: a lost key cannot be recovered."""
    body = f"satchel_{mode}_" + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return f"{body}_{crc32(body.encode()):08x}"


def prefix_of(key: str) -> str:
    """The beginning of a key, by which people recognise it; 208 bits stay secret."""
    name, mode, random, _ = key.split("_")
    return f"{name}_{mode}_{random[:_PREFIX_LENGTH]}"


def digest_of(key: bytes) -> bytes:
    """What is stored. One round is enough: unlike passwords, 256 random bits cannot be guessed."""
    return sha256(key).digest()


def is_well_formed(key: bytes, mode: str) -> bool:
    """Whether the format, the mode and the checksum are right."""
    match = _KEY.fullmatch(key)
    return (
        match is not None
        and key.startswith(b"satchel_%b_" % mode.encode())
        and b"%08x" % crc32(match[1]) == match[2]
    )
