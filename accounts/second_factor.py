"""Requires staff to have a second factor if STAFF_SECOND_FACTOR is on; for members it is optional."""

from __future__ import annotations

from collections.abc import Callable

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import MiddlewareNotUsed
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User

# Recovery codes do not count: they are for the loss of one of these.
STAFF_FACTOR_TYPES = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)

# Pages that staff without a second factor may open: those to set one up, and those to sign out.
EXEMPT_URL_NAMES = {
    "account_confirm_email",
    "account_email",
    "account_email_verification_sent",
    "account_logout",
    "account_reauthenticate",
    "favicon",
    "language",
    "cover",
    "renew-token",
    "robots",
}
EXEMPT_PREFIX = "mfa_"


def must_set_up_second_factor(user: User) -> bool:
    """Return whether `user` must set up a second factor before anything else."""
    if not settings.STAFF_SECOND_FACTOR or not user.is_staff:
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type__in=STAFF_FACTOR_TYPES).exists()


def has_required_second_factor() -> Q:
    """Return the opposite of `must_set_up_second_factor`, as a condition for querysets of users."""
    if not settings.STAFF_SECOND_FACTOR:
        return Q()
    return Q(is_staff=False) | Q(
        Exists(Authenticator.objects.filter(user=OuterRef("pk"), type__in=STAFF_FACTOR_TYPES))
    )


class StaffSecondFactorMiddleware:
    """Redirects staff without a second factor from every page to its setup."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.STAFF_SECOND_FACTOR:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
        # The API does not use the session, and makes this check when it authenticates.
        if request.path.startswith("/api") or _is_exempt(request):
            return None
        if not isinstance(request.user, User) or not must_set_up_second_factor(request.user):
            return None
        messages.info(request, _("Staff accounts need two-factor sign-in. Set it up to continue."))
        place = reverse("mfa_index")
        if request.htmx:  # type: ignore[attr-defined]  # django_htmx puts it there
            return HttpResponse(headers={"HX-Redirect": place})
        return HttpResponseRedirect(place)


def _is_exempt(request: HttpRequest) -> bool:
    # Includes the namespace, so that the administration's pages of second factors do not match.
    name = (request.resolver_match and request.resolver_match.view_name) or ""
    return name in EXEMPT_URL_NAMES or name.startswith(EXEMPT_PREFIX)
