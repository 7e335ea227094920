"""allauth's forms, where ours ask for more."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import AddEmailForm, SignupForm
from allauth.account.models import EmailAddress
from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import EMAIL_TAKEN, User
from accounts.sign_up import address_taken, change_address, open_account


class SignUpForm(SignupForm):
    """By the rule of every other door; nothing is left of allauth's own way to save."""

    name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=200,
        help_text=_("As you would like to be called."),
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    field_order = ["username", "email", "name", "password1", "password2"]

    def save(self, request: HttpRequest) -> User:
        """Raises ValidationError by field, also when somebody took the name or the address just now."""
        given = self.cleaned_data
        try:
            user = open_account(
                username=given["username"],
                email=given["email"],
                password=given["password1"],
                name=given["name"],
            )
        except ValidationError as error:
            named: dict[str, Any] = {"password": "password1"}
            raise ValidationError(
                {named.get(field, field): messages for field, messages in error.message_dict.items()}
            ) from error
        return user


class AddOwnEmailForm(AddEmailForm):
    def clean_email(self) -> str:
        """An address that is another account's cannot become this one's, confirmed or not.

        A second factor is no hindrance, as it is in allauth: the new address counts for nothing before it
        is confirmed.
        """
        email: str = get_adapter().clean_email(self.cleaned_data["email"].lower())
        if self.user.emailaddress_set.filter(email=email).exists():
            raise ValidationError(_("This is your address already."))
        if address_taken(email, by_another_than=self.user):
            raise ValidationError(EMAIL_TAKEN)
        return email

    def save(self, request: HttpRequest) -> EmailAddress:
        """Raises ValidationError when somebody took the address just now."""
        if EmailAddress.objects.get_verified(self.user):
            return super().save(request)
        # Nothing speaks for the old one: the new one, perhaps spelled right this time, takes its place.
        change_address(self.user, self.cleaned_data["email"])
        address = EmailAddress.objects.get(user=self.user)
        address.send_confirmation(request)
        return address
