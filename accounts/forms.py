"""allauth's forms, where ours ask for more."""

from __future__ import annotations

from allauth.account.forms import AddEmailForm
from django.core.exceptions import ValidationError

from accounts.models import EMAIL_TAKEN, User


class AddOwnEmailForm(AddEmailForm):
    def clean_email(self) -> str:
        """An address that is another account's cannot become this one's, confirmed or not."""
        email: str = super().clean_email()
        if User.objects.filter(email__iexact=email).exclude(pk=self.user.pk).exists():
            raise ValidationError(EMAIL_TAKEN)
        return email
