"""The pages of an account that are not allauth's own, and the renewal of a browser's tokens."""

from __future__ import annotations

from allauth.account.views import EmailView, SignupView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import web_tokens
from accounts.forms import AddOwnEmailForm, SignUpForm


class SignUpPage(SignupView):
    def form_valid(self, form: SignUpForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except ValidationError as refusal:
            # Somebody was faster with the name or the address.
            form.add_error(None, refusal)
            return self.form_invalid(form)


class EmailPage(EmailView):
    def form_valid(self, form: AddOwnEmailForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except ValidationError as refusal:
            form.add_error(None, refusal)
            return self.form_invalid(form)


@never_cache
@require_POST
def renew_token(request: HttpRequest) -> HttpResponse:
    """The next pair of cookies for whoever is signed in here; for the page's script."""
    answer: HttpResponse
    if not request.user.is_authenticated:
        answer = JsonResponse({"detail": _("Nobody is signed in here."), "code": "signed_out"}, status=401)
        web_tokens.clear_cookies(answer)
        return answer
    answer = HttpResponse(status=204)
    web_tokens.set_cookies(answer, request, web_tokens.renew(request, request.user))
    return answer
