"""Reads public keys from a JWK Set or a file, and selects those that are usable."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

# The type of key that an algorithm needs, by the first letters of the algorithm.
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


def read_key_file(path: Path, algorithms: Collection[str]) -> list[Key]:
    """The keys of a PEM or JWK Set file. Errors: ValueError, without content of the file."""
    try:
        text = path.read_text()
    except (OSError, ValueError):
        raise ValueError("JWT_KEY_FILE cannot be read: name a file of public keys") from None
    keys = _import_pem(text) if text.lstrip().startswith("-----BEGIN") else import_jwks(text)
    if any(key.is_private for key in keys):
        raise ValueError("JWT_KEY_FILE holds a private key: put the public one there")
    fitting = usable_keys(keys, algorithms)
    if not fitting:
        raise ValueError(f"JWT_KEY_FILE holds no public key for {','.join(algorithms)}")
    return fitting


def import_jwks(text: str | bytes) -> list[Key]:
    """The readable keys of a JWK Set; none if it is no JWK Set."""
    try:
        document: Any = json.loads(text)
        entries = list(document["keys"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    keys = []
    for entry in entries:
        if isinstance(entry, dict) and entry.get("kty") in _KEY_TYPES.values():
            # The older name of the algorithm (RFC 8037).
            if entry.get("alg") == "EdDSA" and entry.get("crv") == "Ed25519":
                entry["alg"] = "Ed25519"
            try:
                keys.append(import_key(entry))
            except (JoseError, ValueError, TypeError, KeyError):
                continue
    return keys


def usable_keys(keys: Collection[Key], algorithms: Collection[str]) -> list[Key]:
    """The keys that can verify signatures of these algorithms."""
    types = {_KEY_TYPES[algorithm[:2]] for algorithm in algorithms}
    return [
        key
        for key in keys
        if key.key_type in types
        and key.get("use") in (None, "sig")
        and key.get("alg") in (None, *algorithms)
    ]


def _import_pem(text: str) -> list[Key]:
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return [kind.import_key(text)]
        except (JoseError, ValueError, TypeError):
            continue
    return []
