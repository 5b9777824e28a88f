"""Public keys: which keys of a file or a JWK Set are used."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from app.auth.public_keys import import_jwks, read_key_file, usable_keys

RSA, EC, ED = RSAKey.generate_key(), ECKey.generate_key(), OKPKey.generate_key()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def jwks(*keys: Key, **parameters: Any) -> str:
    return json.dumps({"keys": [key.as_dict(private=False, **parameters) for key in keys]})


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")])
@pytest.mark.parametrize("as_set", [True, False])
def test_a_file_is_pem_or_a_set(file: Path, key: Any, algorithm: str, as_set: bool) -> None:
    file.write_text(jwks(key) if as_set else key.as_pem(private=False).decode())
    [found] = read_key_file(file, [algorithm])
    assert found.thumbprint() == key.thumbprint()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RSA.as_pem(private=True), "holds a private key: put the public one there"),
        (json.dumps({"keys": [RSA.as_dict(private=True)]}).encode(), "holds a private key"),
        (EC.as_pem(private=False), "holds no public key for RS256"),
        (b"", "holds no public key for RS256"),
        (b"-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----", "holds no public key"),
        (b"\xff", "cannot be read"),
    ],
)
def test_other_files_are_refused(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_key_file(file, ["RS256"])
    assert "hunter2" not in str(caught.value)


def test_a_shared_secret_is_not_imported() -> None:
    secret = OctKey.generate_key()
    text = json.dumps({"keys": [secret.as_dict(private=True), RSA.as_dict(private=False)]})
    assert [key.key_type for key in import_jwks(text)] == ["RSA"]


def test_unreadable_keys_are_skipped() -> None:
    strange: list[Any] = [7, {}, {"kty": "PQC"}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-1"}]
    strange += [{"kty": "RSA", "n": "!", "e": "AQAB"}, {"kty": "RSA", "n": 7, "e": 7}]
    text = json.dumps({"keys": [*strange, EC.as_dict(private=False)]})
    assert [key.key_type for key in import_jwks(text)] == ["EC"]


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{}", '{"keys": 7}', '{"keys": []}', "[" * 10**5, b"\xff"]
)
def test_anything_else_holds_no_keys(text: str | bytes) -> None:
    assert import_jwks(text) == []


def test_only_keys_for_signatures_of_the_algorithms_are_used() -> None:
    sets = (
        jwks(RSA),
        jwks(RSA, use="enc"),
        jwks(RSA, alg="RS512"),
        jwks(RSA, use="sig", alg="RS256"),
        jwks(EC),
    )
    found = [len(usable_keys(import_jwks(one), ["RS256"])) for one in sets]
    assert found == [1, 0, 0, 1, 0]
