"""The second factor that staff need where STAFF_SECOND_FACTOR is on; members may have one."""

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

# Recovery codes are for when one of these is lost.
STAFF_FACTOR_TYPES = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)

# What staff without one may open: the way to one, and the way out.
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
    """Must `user` set one up before anything else?"""
    if not settings.STAFF_SECOND_FACTOR or not user.is_staff:
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type__in=STAFF_FACTOR_TYPES).exists()


def has_required_second_factor() -> Q:
    """The same, of the accounts of a query, for which it takes none of its own."""
    if not settings.STAFF_SECOND_FACTOR:
        return Q()
    return Q(is_staff=False) | Q(
        Exists(Authenticator.objects.filter(user=OuterRef("pk"), type__in=STAFF_FACTOR_TYPES))
    )


class StaffSecondFactorMiddleware:
    """Leads staff who have none from every page to where they set one up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.STAFF_SECOND_FACTOR:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
        # The API asks by itself, and of the session knows nothing.
        if request.path.startswith("/api") or _is_exempt(request):
            return None
        if not isinstance(request.user, User) or not must_set_up_second_factor(request.user):
            return None
        messages.info(request, _("Staff sign in with a second factor. Set one up, and go on from there."))
        place = reverse("mfa_index")
        if request.htmx:  # type: ignore[attr-defined]  # django_htmx puts it there
            return HttpResponse(headers={"HX-Redirect": place})
        return HttpResponseRedirect(place)


def _is_exempt(request: HttpRequest) -> bool:
    # With its namespace: the administration has pages of second factors too, of everybody's.
    name = (request.resolver_match and request.resolver_match.view_name) or ""
    return name in EXEMPT_URL_NAMES or name.startswith(EXEMPT_PREFIX)
