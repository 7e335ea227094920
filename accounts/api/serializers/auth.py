"""Serializers of the authentication endpoints, which have no version.

This module must not import dj_rest_auth's views: on import they load these classes, by their names in
REST_AUTH.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.api.base import django_request
from accounts.api.exceptions import refusals_as_api_errors
from accounts.api.serializers.tokens import EXAMPLE_TOKEN, Code, Password
from accounts.models import User
from accounts.passwords import change_password, find_account_by_reset_key, reset_password, send_reset_mail
from accounts.sign_in import WRONG_PASSWORD, check_password
from accounts.sign_up import open_account

EXAMPLE_PROFILE = {
    "id": 4,
    "username": "alice",
    "email": "alice@example.org",
    "name": "Alice Moss",
    "phone": "+39 06 555 0142",
    "address": "Via Appia 7, Roma",
    "is_staff": False,
}
MISMATCH = _("The two passwords don't match.")


class LoginIn(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=254, required=False, help_text="Or give the e-mail address.")
    email = serializers.CharField(max_length=254, required=False, help_text="Instead of the username.")
    password = Password()
    otp = Code()

    class Meta:
        ref_name = "LoginIn"
        swagger_schema_fields = {"example": {"username": "alice", "password": "the-fourth-chapter"}}

    def validate(self, given: dict[str, str]) -> dict[str, str]:
        login = given.get("username") or given.get("email")
        if not login:
            raise serializers.ValidationError({"username": [_("Enter a username or an e-mail address.")]})
        return given | {"login": login}


class ProfileIn(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["name", "phone", "address"]
        ref_name = "ProfileIn"
        swagger_schema_fields = {
            "example": {key: EXAMPLE_PROFILE[key] for key in ("name", "phone", "address")}
        }


class Profile(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "username", "email", "name", "phone", "address", "is_staff"]
        ref_name = "Profile"
        swagger_schema_fields = {"example": EXAMPLE_PROFILE}


class LoginOut(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    user = Profile()

    class Meta:
        ref_name = "SignedIn"
        swagger_schema_fields = {
            "example": {"access": EXAMPLE_TOKEN, "refresh": EXAMPLE_TOKEN, "user": EXAMPLE_PROFILE}
        }


class RegisterIn(serializers.ModelSerializer[User]):
    # open_account() checks uniqueness regardless of case, unlike REST framework's own validator.
    username = serializers.CharField(max_length=150, help_text="Letters, digits and . + - _")
    email = serializers.EmailField(max_length=254)
    password1 = Password()
    password2 = Password(help_text="Repeat password.")

    class Meta:
        model = User
        fields = ["username", "email", "password1", "password2", "name", "phone", "address"]
        ref_name = "RegisterIn"
        swagger_schema_fields = {
            "example": {
                "username": "alice",
                "email": "alice@example.org",
                "password1": "the-fourth-chapter",
                "password2": "the-fourth-chapter",
                "name": "Alice Moss",
            }
        }

    def validate(self, given: dict[str, str]) -> dict[str, str]:
        if given["password1"] != given["password2"]:
            raise serializers.ValidationError({"password2": [MISMATCH]})
        return given

    def save(self, request: Any) -> User:  # type: ignore[override]  # dj_rest_auth passes the request
        given = dict(self.validated_data)
        del given["password2"]
        try:
            return open_account(password=given.pop("password1"), **given)
        except DjangoValidationError as error:
            named = {"password": "password1"}
            raise serializers.ValidationError(
                {named.get(field, field): messages for field, messages in error.message_dict.items()}
            ) from error


class NewPassword(serializers.Serializer[Any]):
    new_password1 = Password()
    new_password2 = Password(help_text="Repeat password.")

    def check_new(self, given: dict[str, str], user: User) -> None:
        if given["new_password1"] != given["new_password2"]:
            raise serializers.ValidationError({"new_password2": [MISMATCH]})
        try:
            validate_password(given["new_password1"], user)
        except DjangoValidationError as error:
            raise serializers.ValidationError({"new_password1": error.messages}) from error


class PasswordChangeIn(NewPassword):
    old_password = Password()

    class Meta:
        ref_name = "PasswordChangeIn"
        swagger_schema_fields = {
            "example": {
                "old_password": "the-fourth-chapter",
                "new_password1": "a-fifth-and-better-one",
                "new_password2": "a-fifth-and-better-one",
            }
        }

    def validate(self, given: dict[str, str]) -> dict[str, str]:
        request = self.context["request"]
        self.check_new(given, request.user)
        # Counted like a sign-in, so that a stolen access token does not help to guess the password.
        with refusals_as_api_errors():
            owner = check_password(
                django_request(request), login=request.user.username, password=given["old_password"]
            )
        if owner != request.user:
            raise serializers.ValidationError({"old_password": [WRONG_PASSWORD]})
        return given

    def save(self, **kwargs: Any) -> None:
        request = self.context["request"]
        change_password(
            django_request(request), user=request.user, password=self.validated_data["new_password1"]
        )


class PasswordResetIn(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)

    class Meta:
        ref_name = "PasswordResetIn"
        swagger_schema_fields = {"example": {"email": "alice@example.org"}}

    def save(self, **kwargs: Any) -> None:
        with refusals_as_api_errors():
            send_reset_mail(django_request(self.context["request"]), email=self.validated_data["email"])


class PasswordResetConfirmIn(NewPassword):
    uid = serializers.CharField(
        max_length=20, help_text="The part of the key in the e-mailed link before the first -"
    )
    token = serializers.CharField(max_length=100, help_text="The part of the key after the first -")

    class Meta:
        ref_name = "PasswordResetConfirmIn"
        swagger_schema_fields = {
            "example": {
                "uid": "4",
                "token": "cbq5tk-7a1c1e0f4a5b6c7d8e9f00112233445566",
                "new_password1": "a-fifth-and-better-one",
                "new_password2": "a-fifth-and-better-one",
            }
        }

    def validate(self, given: dict[str, str]) -> dict[str, Any]:
        user = find_account_by_reset_key(uid=given["uid"], token=given["token"])
        if user is None:
            raise serializers.ValidationError({"token": [_("This link is invalid or has expired.")]})
        self.check_new(given, user)
        return given | {"user": user}

    def save(self, **kwargs: Any) -> None:
        reset_password(
            django_request(self.context["request"]),
            user=self.validated_data["user"],
            password=self.validated_data["new_password1"],
        )


class EmailKeyIn(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=200, help_text="The last part of the e-mailed link.")

    class Meta:
        ref_name = "EmailKeyIn"
        swagger_schema_fields = {"example": {"key": "Mw:1vN2bQ:3Hc1o0yJ5dZpWv8s7TtK"}}


class ResendEmailIn(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)

    class Meta:
        ref_name = "ResendEmailIn"
        swagger_schema_fields = {"example": {"email": "alice@example.org"}}
