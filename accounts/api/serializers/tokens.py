"""Serializers of the token endpoints, and the fields that other authentication endpoints share."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.password_rules import MAX_RAW_LENGTH, validate_length

EXAMPLE_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJqdGkiOiI2ZjMifQ.q0Yx"  # noqa: S105  # A sample for the documentation.


class Password(serializers.CharField):
    """Keeps leading and trailing spaces, as the pages do."""

    def __init__(self, **options: Any) -> None:
        options |= {"write_only": True, "trim_whitespace": False, "validators": [validate_length]}
        super().__init__(**options, style={"input_type": "password"})

    class Meta:
        swagger_schema_fields = {"maxLength": MAX_RAW_LENGTH}


class Code(serializers.CharField):
    def __init__(self) -> None:
        super().__init__(
            write_only=True,
            required=False,
            max_length=32,
            help_text="A code from the authenticator app or a recovery code, if the account uses "
            "two-factor sign-in.",
        )


class TokenIn(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=254, help_text="Username or e-mail address; case is ignored.")
    password = Password()
    otp = Code()

    class Meta:
        ref_name = "TokenIn"
        swagger_schema_fields = {"example": {"username": "alice", "password": "the-fourth-chapter"}}


class TokenPair(serializers.Serializer[Any]):
    token = serializers.CharField(
        source="access", help_text="Send it in the header Authorization: JWT <token>. Valid for 5 minutes."
    )
    refresh = serializers.CharField(help_text="For one call to /api-token-refresh/. Valid for 7 days.")

    class Meta:
        ref_name = "TokenPair"
        swagger_schema_fields = {"example": {"token": EXAMPLE_TOKEN, "refresh": EXAMPLE_TOKEN}}


class RestAuthTokenPair(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()

    class Meta:
        ref_name = "RestAuthTokenPair"
        swagger_schema_fields = {"example": {"access": EXAMPLE_TOKEN, "refresh": EXAMPLE_TOKEN}}


class RefreshIn(serializers.Serializer[Any]):
    refresh = serializers.CharField()

    class Meta:
        ref_name = "RefreshIn"
        swagger_schema_fields = {"example": {"refresh": EXAMPLE_TOKEN}}


class VerifyIn(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="An access or a refresh token.")

    class Meta:
        ref_name = "VerifyIn"
        swagger_schema_fields = {"example": {"token": EXAMPLE_TOKEN}}


class Detail(serializers.Serializer[Any]):
    detail = serializers.CharField()

    class Meta:
        ref_name = "Detail"
