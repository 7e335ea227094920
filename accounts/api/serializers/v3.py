"""Serializers of accounts in version 3, the current one."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import User


class AccountIn(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["name", "phone", "address"]
        ref_name = "AccountV3In"
        swagger_schema_fields = {
            "example": {"name": "Alice Moss", "phone": "+39 06 555 0142", "address": "Via Appia 7, Roma"}
        }


class AccountOut(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = [
            "id",
            "username",
            "email",
            "name",
            "phone",
            "address",
            "is_staff",
            "is_active",
            "date_joined",
        ]
        ref_name = "AccountV3"
        swagger_schema_fields = {
            "example": {
                "id": 4,
                "username": "alice",
                "email": "alice@example.org",
                "name": "Alice Moss",
                "phone": "+39 06 555 0142",
                "address": "Via Appia 7, Roma",
                "is_staff": False,
                "is_active": True,
                "date_joined": "2026-03-02T09:15:00Z",
            }
        }
