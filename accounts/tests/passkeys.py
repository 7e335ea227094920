"""A passkey without a device."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.webauthn.internal.auth import WebAuthn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from django.conf import settings
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from accounts.models import User

FLAG = AuthenticatorData.FLAG


class SoftwarePasskey:
    """A passkey of `user`, which answers challenges as a browser would."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.id = websafe_encode(b"\x01" * 16)
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.challenge = ""
        public_key = ES256.from_cryptography_key(self.private_key.public_key())
        known = AttestedCredentialData.create(Aaguid.NONE, b"\x01" * 16, public_key)
        data = AuthenticatorData.create(self._site_hash(), FLAG.UP | FLAG.UV | FLAG.AT, 0, known)
        client = CollectedClientData.create("webauthn.create", b"\x04" * 32, settings.SITE_URL)
        response = {
            "clientDataJSON": websafe_encode(client),
            "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
        }
        WebAuthn.add(user, "A passkey", self._credential(response))

    def sign(self, challenge: str) -> str:
        """Return the answer to a challenge, as the browser's script sends it."""
        self.challenge = challenge
        client = CollectedClientData.create("webauthn.get", websafe_decode(challenge), settings.SITE_URL)
        data = AuthenticatorData.create(self._site_hash(), FLAG.UP | FLAG.UV, 0)
        signature = self.private_key.sign(data + client.hash, ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": websafe_encode(client),
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(signature),
            "userHandle": websafe_encode(user_pk_to_url_str(self.user).encode()),
        }
        return json.dumps(self._credential(response))

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        return {
            "id": self.id,
            "rawId": self.id,
            "format": "json",
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }

    def _site_hash(self) -> bytes:
        return hashlib.sha256((urlsplit(settings.SITE_URL).hostname or "").encode()).digest()
