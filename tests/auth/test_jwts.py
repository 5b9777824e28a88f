"""JWTs: good ones have their subject as principal, all others are refused."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey
from structlog.testing import capture_logs

from app.auth.jwks import FetchedKeys, FixedKeys
from app.auth.jwts import Verifier, make_verifier
from app.auth.key_format import digest_of
from app.auth.principals import Principal
from app.config import ConfigurationError, Settings
from tests.applications import make_settings
from tests.auth.provider import (
    AUDIENCE,
    EC,
    ED,
    ISSUER,
    OTHER,
    RSA,
    claims,
    hmac_signed,
    jwks,
    part,
    signed,
)

unhurried = settings_of_hypothesis(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)

NOW = 1_800_000_000.0
ADA = Principal("jwt:ada", frozenset({"read"}))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(*keys: Key, clock: Any = lambda: NOW) -> Verifier:
    return Verifier(ISSUER, AUDIENCE, ["RS256", "ES256"], FixedKeys(keys), clock)


@pytest.fixture
def verifier(clock: Clock) -> Verifier:
    return make(RSA, EC, clock=clock)


GOOD = claims(NOW)


class TestGood:
    @pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
    async def test_has_the_subject_as_principal(
        self, verifier: Verifier, key: Any, algorithm: str
    ) -> None:
        assert await verifier.verify(signed(GOOD, key, algorithm).encode()) == ADA

    async def test_without_a_key_id_is_tried_with_each_key(self) -> None:
        token = signed(GOOD, kid=None).encode()
        assert await make(ECKey.generate_key(), EC, OTHER, RSA).verify(token) == ADA

    @pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519"])
    @pytest.mark.parametrize("named", [None, "EdDSA", "Ed25519"])
    @pytest.mark.parametrize("configured", ["EdDSA", "RS256,Ed25519"])
    async def test_eddsa_is_ed25519(
        self, algorithm: str, named: str | None, configured: str, tmp_path: Path
    ) -> None:
        """In the token, in the JWK Set and in the settings alike."""
        key = ED.as_dict(private=False) | ({"alg": named} if named else {})
        (tmp_path / "keys").write_text(json.dumps({"keys": [key]}))
        verifier = make_verifier(
            settings(jwt_key_file=tmp_path / "keys", jwt_algorithms=configured)
        )
        principal = await verifier.verify(signed(claims(), ED, algorithm).encode())
        assert principal == ADA

    @pytest.mark.parametrize(
        "typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT", None]
    )
    async def test_has_the_type_of_an_access_token_or_none(
        self, verifier: Verifier, typ: str | None
    ) -> None:
        assert await verifier.verify(signed(GOOD, typ=typ).encode()) == ADA

    async def test_may_have_header_parameters_of_its_issuer(self, verifier: Verifier) -> None:
        token = signed(GOOD, cat="cl_B7d4PD111AAA", nonce="x", x5t="abc", ver=2)
        assert await verifier.verify(token.encode()) == ADA

    async def test_may_be_meant_for_others_too(self, verifier: Verifier) -> None:
        token = signed(claims(NOW, aud=["other", AUDIENCE]))
        assert await verifier.verify(token.encode()) == ADA

    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            (None, set()),
            ("", set()),
            ("openid profile", set()),
            ("read", {"read"}),
            ("write", {"read", "write"}),
            ("admin  openid", {"read", "write", "admin"}),
            ("READ", set()),
        ],
    )
    async def test_has_the_scopes_of_its_words(
        self, verifier: Verifier, scope: str | None, expected: set[str]
    ) -> None:
        principal = await verifier.verify(signed(claims(NOW, scope=scope, scp=["admin"])).encode())
        assert principal is not None
        assert principal.scopes == expected

    async def test_is_cached_for_30_seconds(self, verifier: Verifier, clock: Clock) -> None:
        token = signed(GOOD).encode()
        asked: list[str | None] = []
        keys = verifier.keys

        class Counted:
            async def find(self, kid: str | None) -> list[Key]:
                asked.append(kid)
                return await keys.find(kid)

        verifier.keys = Counted()
        digest = digest_of(token)
        assert verifier.recall(digest) is None
        assert await verifier.verify(token) == ADA
        assert verifier.recall(digest) == ADA
        assert asked == ["rsa"]
        clock.now += 30
        assert verifier.recall(digest) is None

    async def test_is_good_until_30_seconds_after_it_expires(
        self, verifier: Verifier, clock: Clock
    ) -> None:
        token = signed(claims(NOW, exp=int(NOW) + 10)).encode()
        clock.now = NOW + 39
        assert await verifier.verify(token) == verifier.recall(digest_of(token)) == ADA
        clock.now = NOW + 40
        assert verifier.recall(digest_of(token)) is None
        assert await verifier.verify(token) is None


deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 9000).decode()


CRITICAL: list[Any] = [[], ["x"], ["b64"], ["alg"], ["exp"], "", {}, False, 0]
OTHER_TYPES: list[Any] = [
    *("id_token+jwt", "logout+jwt", "application/logout+jwt", "dpop+jwt", "secevent+jwt"),
    *("token-introspection+jwt", "oauth-authz-req+jwt", "JOSE", "JWE"),
    *("application/", "application/application/jwt", "text/jwt", "", " JWT"),
    *(7, ["JWT"], {}, False),
]


class TestBad:
    @pytest.mark.parametrize(
        "changed",
        [
            {"iss": "https://other.example.com"},
            {"iss": None},
            {"iss": [ISSUER]},
            {"aud": "other"},
            {"aud": []},
            {"aud": None},
            {"aud": {"satchel": 1}},
            {"exp": int(NOW) - 30},
            {"exp": None},
            {"exp": "2030-01-01"},
            {"exp": True},
            {"exp": float("inf")},
            {"nbf": int(NOW) + 31},
            {"iat": int(NOW) + 31},
            {"sub": None},
            {"sub": ""},
            {"sub": 7},
            {"sub": "a" * 256},
            {"sub": "ada\nadmin"},
            {"sub": "ádá"},
            {"scope": ["read"]},
            {"scope": 7},
        ],
    )
    async def test_claims(self, verifier: Verifier, changed: dict[str, Any]) -> None:
        assert await verifier.verify(signed(claims(NOW, **changed)).encode()) is None

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(signed(GOOD, OTHER), id="unknown kid"),
            pytest.param(signed(GOOD, OTHER, kid="rsa"), id="another's signature"),
            pytest.param(signed(GOOD, RSA, kid="ec"), id="signed with another key"),
            pytest.param(signed(GOOD, RSA, "PS256"), id="an algorithm that is not allowed"),
            pytest.param(f"{part({'alg': 'none'})}.{part(GOOD)}.", id="none"),
            pytest.param(f"{part({'alg': 'RS256'})}.{part(GOOD)}.", id="no signature"),
            pytest.param(hmac_signed(GOOD), id="HMAC with the public key"),
            pytest.param(signed(GOOD, ED, "EdDSA"), id="EdDSA that is not allowed"),
            *(
                pytest.param(signed(GOOD, crit=value, x=1, b64=True), id=f"crit: {value}")
                for value in CRITICAL
            ),
            *(pytest.param(signed(GOOD, typ=value), id=f"typ: {value}") for value in OTHER_TYPES),
            pytest.param("", id="nothing"),
            pytest.param("a.b.c", id="no base64"),
            pytest.param("[" * 9000 + "." + part(GOOD) + ".AA", id="no base64 either"),
            pytest.param(deep + "." + part(GOOD) + ".AA", id="deep"),
            pytest.param(f"{part([])}.{part(GOOD)}.AA", id="no header"),
            pytest.param(
                f"{part({'alg': 'RS256', 'kid': 7})}.{part(GOOD)}.AA", id="kid is no string"
            ),
            pytest.param(f"{part({'alg': ['RS256']})}.{part(GOOD)}.AA", id="no algorithm"),
            pytest.param(signed(GOOD) + "A" * 16_384, id="too long"),
        ],
    )
    async def test_tokens(self, verifier: Verifier, token: str) -> None:
        assert await verifier.verify(token.encode()) is None

    async def test_eddsa_with_a_key_of_another_curve(self) -> None:
        ed448, x25519 = (
            OKPKey.generate_key("Ed448", parameters={"kid": "ed"}),
            OKPKey.generate_key("X25519", parameters={"kid": "ed"}),
        )
        verifier = Verifier(ISSUER, AUDIENCE, ["Ed25519"], FixedKeys([x25519, ed448]), lambda: NOW)
        for token in (
            signed(GOOD, ed448, "EdDSA"),
            signed(GOOD, ed448, "Ed448"),
            signed(GOOD, ED, "EdDSA"),
        ):
            assert await verifier.verify(token.encode()) is None

    async def test_payload_is_no_object(self, verifier: Verifier) -> None:
        token = jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, b"[]", RSA).encode()
        assert await verifier.verify(token) is None

    async def test_is_logged_without_what_was_sent(self, verifier: Verifier) -> None:
        token = signed(claims(NOW, aud="hunter2"), kid=None)
        with capture_logs() as logs:
            await verifier.verify(token.encode())
            await verifier.verify(signed(GOOD, OTHER, kid="hunter2").encode())
        assert [(line["reason"], line["claim"]) for line in logs] == [
            ("InvalidClaimError", "aud"),
            ("BadSignatureError", None),
        ]
        assert "hunter2" not in str(logs)
        assert token not in str(logs)

    @unhurried
    @given(st.binary(max_size=200) | st.lists(st.binary(max_size=60)).map(b".".join))
    async def test_any_bytes(self, token: bytes) -> None:
        assert await make(RSA).verify(token) is None

    @unhurried
    @given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5), st.data())
    async def test_any_claims(self, value: Any, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(GOOD)))
        principal = await make(EC).verify(signed({**GOOD, name: value}, EC, "ES256").encode())
        assert principal is None or principal.name.startswith(("jwt:", "jwt#"))

    async def test_a_subject_that_may_be_an_email_address_is_hashed(self) -> None:
        names = set()
        for subject in ("ada@example.com", "bob@example.com", "ada@example.com"):
            token = signed({**GOOD, "sub": subject}, EC, "ES256").encode()
            principal = await make(EC).verify(token)
            assert principal is not None
            assert re.fullmatch("jwt#[0-9a-f]{32}", principal.name)
            names.add(principal.name)
        assert len(names) == 2


class TestMake:
    def test_takes_keys_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_bytes(jwks(RSA))
        assert isinstance(make_verifier(settings(jwt_key_file=tmp_path / "keys")).keys, FixedKeys)

    def test_refuses_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="JWT_KEY_FILE cannot be read: name a file"):
            make_verifier(settings(jwt_key_file=tmp_path / "absent"))

    def test_takes_keys_from_a_url(self) -> None:
        url = "https://id.example.com/jwks"
        assert isinstance(make_verifier(settings(jwt_jwks_url=url)).keys, FetchedKeys)


def settings(**values: Any) -> Settings:
    return make_settings(auth_mode="on", jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **values)
