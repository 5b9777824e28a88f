"""The form of API keys: `satchel_<mode>_<random>_<checksum>`.

Garbage, and keys of another mode, are refused by their form alone. What a scanner of secrets finds
in a repository, it can tell for certain.
"""

import re
import secrets
import string
from hashlib import sha256
from typing import Final
from zlib import crc32

_LETTERS: Final = string.ascii_letters + string.digits
_LENGTH: Final = 43  # of 62 letters: 256 bits
_SHOWN: Final = 8  # letters of the random part by which people recognise a key
_KEY: Final = re.compile(rb"(satchel_[a-z]+_[A-Za-z0-9]{43})_([0-9a-f]{8})")


def make_key(mode: str) -> str:
    """A new key. It is nowhere else: who loses it makes another."""
    body = f"satchel_{mode}_" + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return f"{body}_{crc32(body.encode()):08x}"


def prefix_of(key: str) -> str:
    """How a key begins: enough to recognise it, and 208 bits short of using it."""
    name, mode, random, _ = key.split("_")
    return f"{name}_{mode}_{random[:_SHOWN]}"


def digest_of(key: bytes) -> bytes:
    """What is stored. One round does: nobody can try 2^256 keys, as they could try passwords."""
    return sha256(key).digest()


def is_well_formed(key: bytes, mode: str) -> bool:
    """Whether this can be a key of the mode: no typo, not cut off, not made up."""
    match = _KEY.fullmatch(key)
    return (
        match is not None
        and key.startswith(b"satchel_%b_" % mode.encode())
        and b"%08x" % crc32(match[1]) == match[2]
    )
