"""Adapts allauth's forms to the shop's labels and rules, and adds the forms of the shop's own pages."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any, ClassVar

from allauth.account import forms as account
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.adapter import get_adapter as get_second_factor_adapter
from allauth.mfa.base import forms as second_factor
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from fido2.webauthn import AuthenticationResponse

from accounts.mail import send_in_background
from accounts.models import EMAIL_TAKEN, User
from accounts.password_rules import validate_length
from accounts.passwords import mail_reset_link
from accounts.session_store import use_once
from accounts.sign_in import WRONG_PASSWORD
from accounts.sign_up import change_email, is_email_taken, open_account
from lori_assignment.errors import Throttled
from lori_assignment.observability.security_log import log_event

EMAIL = _("E-mail address")
PASSWORD = _("Password")
NEW_PASSWORD = _("New password")
REPEAT_PASSWORD = _("Repeat password")
PASSWORD_HELP = _("At least 8 characters. Avoid common passwords and your own name.")


class RelabelledFormMixin:
    """Relabels a form of allauth's and removes its placeholders, which only repeat the labels."""

    labels: ClassVar[dict[str, Any]] = {}
    help_texts: ClassVar[dict[str, Any]] = {}
    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label = self.labels.get(name, field.label)
            field.help_text = self.help_texts.get(name, field.help_text)
            if isinstance(field.widget, forms.PasswordInput):
                # Not as an attribute: a browser would cut a longer password without a word.
                field.validators.append(validate_length)


class SignInForm(RelabelledFormMixin, account.LoginForm):
    labels = {
        "login": _("Username or e-mail address"),
        "password": PASSWORD,
        "remember": _("Keep me signed in on this device"),
    }
    help_texts = {"password": ""}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs |= {
            "autocomplete": "username",
            "autocapitalize": "none",
            "spellcheck": "false",
        }


class SignUpForm(RelabelledFormMixin, account.SignupForm):
    """Saves with `open_account`, as the API does, instead of allauth's own code."""

    name = forms.CharField(
        required=False, max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    field_order = ["username", "email", "name", "password1", "password2"]
    labels = {
        "username": _("Username"),
        "email": EMAIL,
        "name": _("Name"),
        "password1": PASSWORD,
        "password2": REPEAT_PASSWORD,
    }
    help_texts = {
        "username": _("Letters, digits and . + - _"),
        "name": _("What should we call you?"),
        "password1": PASSWORD_HELP,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs |= {"autocapitalize": "none", "spellcheck": "false"}

    def save(self, request: HttpRequest) -> User:
        """Raises ValidationError by field, also if a name or address was taken after validation."""
        given = self.cleaned_data
        try:
            return open_account(
                username=given["username"],
                email=given["email"],
                password=given["password1"],
                name=given["name"],
            )
        except ValidationError as error:
            named = {"password": "password1"}
            raise ValidationError(
                {named.get(field, field): messages for field, messages in error.message_dict.items()}
            ) from error


class NewEmailForm(RelabelledFormMixin, account.AddEmailForm):
    labels = {"email": _("New address")}

    def clean_email(self) -> str:
        """Reject another account's address, whether or not it is confirmed there.

        Unlike in allauth, a second factor does not prevent the change, because the new address has no effect
        until it is confirmed.
        """
        email: str = get_adapter().clean_email(self.cleaned_data["email"].lower())
        if self.user.emailaddress_set.filter(email=email).exists():
            raise ValidationError(_("This is already your address."))
        if is_email_taken(email, excluding=self.user):
            raise ValidationError(EMAIL_TAKEN)
        return email

    def save(self, request: HttpRequest) -> EmailAddress:
        """Raises ValidationError if the address was taken after validation."""
        if EmailAddress.objects.get_verified(self.user):
            return super().save(request)
        # The current address was never confirmed and may have a typo, so the new one replaces it.
        change_email(self.user, self.cleaned_data["email"])
        log_event("address_changed", request, account=self.user.pk)
        address = EmailAddress.objects.get(user=self.user)
        address.send_confirmation(request)
        return address


class ChangePasswordForm(RelabelledFormMixin, account.ChangePasswordForm):
    labels = {"oldpassword": _("Current password"), "password1": NEW_PASSWORD, "password2": REPEAT_PASSWORD}
    help_texts = {"oldpassword": "", "password1": PASSWORD_HELP}

    def clean_oldpassword(self) -> str:
        """Count the attempt like a sign-in, against guessing in an unattended browser. Raises Throttled."""
        given: str = self.cleaned_data["oldpassword"]
        if not get_adapter().reauthenticate(self.user, given):
            raise ValidationError(WRONG_PASSWORD)
        return given


class SetPasswordForm(RelabelledFormMixin, account.SetPasswordForm):
    labels = {"password1": NEW_PASSWORD, "password2": REPEAT_PASSWORD}
    help_texts = {"password1": PASSWORD_HELP}


class ForgottenPasswordForm(RelabelledFormMixin, account.ResetPasswordForm):
    labels = {"email": EMAIL}

    def clean_email(self) -> str:
        """Skip allauth's look-up of the account, which would show in the response time."""
        return str(self.cleaned_data["email"])

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        send_in_background(partial(mail_reset_link, request, self.cleaned_data["email"]))
        return str(self.cleaned_data["email"])


class ResetPasswordForm(RelabelledFormMixin, account.ResetPasswordKeyForm):
    labels = {"password1": NEW_PASSWORD, "password2": REPEAT_PASSWORD}
    help_texts = {"password1": PASSWORD_HELP}


class ConfirmPasswordForm(RelabelledFormMixin, account.ReauthenticateForm):
    labels = {"password": PASSWORD}
    help_texts = {"password": ""}


class _CodeFormMixin(RelabelledFormMixin):
    labels = {"code": _("Code")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Numeric keyboard on phones, and no autofill of earlier codes, which are valid only once.
        self.fields["code"].widget.attrs |= {"inputmode": "numeric", "autocomplete": "one-time-code"}

    def clean_code(self) -> str:
        """Raises Throttled after too many wrong codes."""
        try:
            return super().clean_code()  # type: ignore[misc]  # defined by the form that this is mixed into
        except ValidationError as error:
            if error.code in ("too_many_login_attempts", "rate_limited"):
                raise Throttled(settings.SECOND_FACTOR_LOCK_SECONDS) from error
            raise


class SecondFactorForm(_CodeFormMixin, second_factor.AuthenticateForm):
    help_texts = {"code": _("From your authenticator app, or a recovery code.")}


class ConfirmCodeForm(_CodeFormMixin, second_factor.ReauthenticateForm):
    help_texts = SecondFactorForm.help_texts


class AuthenticatorAppForm(_CodeFormMixin, totp.ActivateTOTPForm):
    help_texts = {"code": _("The six digits now shown in the app.")}


class OneTimeChallengeMixin:
    """Accepts the answer to a challenge once: a visitor's is in a cookie, which can be sent again."""

    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Authenticator:
        given = self.cleaned_data["credential"]
        found: Authenticator = super().clean_credential()  # type: ignore[misc]  # defined by allauth's form
        # From what the passkey has signed, not from the text, which can be written in several ways.
        challenge = AuthenticationResponse.from_dict(given).response.client_data.challenge
        if not use_once(f"challenge:{hashlib.sha256(challenge).hexdigest()}"):
            raise get_second_factor_adapter().validation_error("incorrect_code")
        return found


class PasskeySignInForm(OneTimeChallengeMixin, webauthn.LoginWebAuthnForm):
    pass


class SecondFactorPasskeyForm(OneTimeChallengeMixin, webauthn.AuthenticateWebAuthnForm):
    pass


class ConfirmPasskeyForm(OneTimeChallengeMixin, webauthn.ReauthenticateWebAuthnForm):
    pass


class NewPasskeyForm(RelabelledFormMixin, webauthn.AddWebAuthnForm):
    labels = {"name": _("Name"), "passwordless": _("Use this passkey to sign in without a password")}
    help_texts = {
        "name": _("A name to recognise it by, such as the device it's on."),
        "passwordless": _("Your device will ask for your fingerprint, face or PIN."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("passwordless", True)


class PasskeyNameForm(RelabelledFormMixin, webauthn.EditWebAuthnForm):
    labels = {"name": _("Name")}


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ["name", "phone", "address"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "phone": forms.TextInput(attrs={"autocomplete": "tel", "type": "tel"}),
            "address": forms.Textarea(attrs={"autocomplete": "street-address", "rows": 4}),
        }
