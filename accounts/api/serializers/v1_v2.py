"""Serializers of accounts in versions 1 and 2. Frozen, because clients depend on them."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import User


class AccountIn(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["name", "phone", "address"]
        ref_name = "AccountV1V2In"
        swagger_schema_fields = {
            "example": {"name": "Alice Moss", "phone": "+39 06 555 0142", "address": "Via Appia 7, Roma"}
        }


class AccountOut(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "username", "email", "name", "phone", "address"]
        ref_name = "AccountV1V2"
        swagger_schema_fields = {
            "example": {
                "id": 4,
                "username": "alice",
                "email": "alice@example.org",
                "name": "Alice Moss",
                "phone": "+39 06 555 0142",
                "address": "Via Appia 7, Roma",
            }
        }
