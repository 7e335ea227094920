"""Serves the account pages that replace or extend allauth's, and renews a browser's tokens."""

from __future__ import annotations

from contextlib import suppress
from copy import copy

from allauth.account.decorators import reauthentication_required
from allauth.account.models import EmailConfirmationHMAC
from allauth.account.views import ConfirmEmailView, EmailView, LoginView, SignupView
from allauth.mfa.webauthn.views import LoginWebAuthnView
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from django.views.i18n import set_language

from accounts import web_tokens
from accounts.forms import NewEmailForm, PasskeySignInForm, ProfileForm, SignInForm, SignUpForm
from accounts.models import User
from accounts.sessions import end_other_sessions, end_session, sessions_of, token_logins_of
from accounts.tokens import TokenError
from lori_assignment import clock
from lori_assignment.errors import Refusal
from lori_assignment.http.member_pages import (
    carry_unsent,
    member_form,
    member_page,
    show_refusal,
    unsent_form,
)
from lori_assignment.http.origin import same_origin
from rentals.account_closing import close_account, closing_blockers
from rentals.personal_data import export_personal_data


class MemberRequest(HttpRequest):
    """A request that has passed `member_page`."""

    user: User


class SignInPage(LoginView):
    def form_valid(self, form: SignInForm) -> HttpResponseBase:
        """Ask for the second factor, if there is one, with the form that the visitor could not send."""
        return carry_unsent(self.request, super().form_valid(form))


class PasskeySignInPage(LoginWebAuthnView):
    def form_invalid(self, form: PasskeySignInForm) -> HttpResponseBase:
        return carry_unsent(self.request, super().form_invalid(form))


class SignUpPage(SignupView):
    def form_valid(self, form: SignUpForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except ValidationError as refusal:
            # The username or address was taken after validation.
            form.add_error(None, refusal)
            return self.form_invalid(form)


class ConfirmEmailPage(ConfirmEmailView):
    def logout_other_user(self, confirmation: EmailConfirmationHMAC) -> None:
        """Sign out on POST only: anyone can trick a person into following a link."""
        if self.request.method == "POST":
            super().logout_other_user(confirmation)


class EmailPage(EmailView):
    def form_valid(self, form: NewEmailForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except ValidationError as refusal:
            form.add_error(None, refusal)
            return self.form_invalid(form)


@member_form
def profile(request: MemberRequest) -> HttpResponse:
    typed = request.POST if request.method == "POST" else unsent_form(request)
    # A copy, so that the rest of the page keeps the saved name if the form has errors.
    form = ProfileForm(typed, instance=copy(request.user))
    if request.method == "POST" and form.is_valid():
        request.user.change_profile(**form.cleaned_data)
        messages.success(request, _("Your profile has been saved."))
        return redirect("profile")
    return render(request, "accounts/profile.html", {"form": form})


@require_POST
@csrf_exempt
@same_origin
def choose_language(request: HttpRequest) -> HttpResponse:
    """Set the language of the browser, and of a member's account, for other browsers and for mail.

    The form is on every page. A CSRF token would set a cookie there, so the Origin header is checked instead.
    """
    language = request.POST.get("language", "")
    if request.user.is_authenticated:
        # An unknown language is ignored, as in Django's own view below.
        with suppress(ValidationError):
            request.user.choose_language(language)
    return set_language(request)


@require_safe
@member_page
def sessions(request: MemberRequest) -> HttpResponse:
    now = clock.now()
    facts = {
        "sessions": sessions_of(request.user, at=now, this=request.session.session_key),
        "programs": token_logins_of(request.user, at=now),
    }
    return render(request, "accounts/sessions.html", facts)


@require_POST
@member_page
@reauthentication_required
def sign_out_browser(request: MemberRequest, pk: int) -> HttpResponse:
    try:
        end_session(request.user, pk)
    except UserSession.DoesNotExist:
        raise Http404 from None
    messages.success(request, _("That browser has been signed out."))
    return redirect("usersessions_list")


@require_POST
@member_page
@reauthentication_required
def sign_out_other_browsers(request: MemberRequest) -> HttpResponse:
    family = request.session.get(web_tokens.FAMILY, "")
    end_other_sessions(request.user, this=request.session.session_key, family=family)
    messages.success(request, _("You have been signed out everywhere else."))
    return redirect("usersessions_list")


@require_safe
@member_page
def your_data(request: MemberRequest) -> HttpResponse:
    return render(request, "accounts/your_data.html")


@require_safe
@member_page
def download_data(request: MemberRequest) -> StreamingHttpResponse:
    now = clock.now()
    answer = StreamingHttpResponse(
        export_personal_data(request.user, at=now), content_type="application/json"
    )
    answer["Content-Disposition"] = f'attachment; filename="lori-books-{now:%Y-%m-%d}.json"'
    return answer


@member_page
def close(request: MemberRequest) -> HttpResponse:
    if request.method == "POST":
        return _close_account(request)
    reasons = closing_blockers(request.user, at=clock.now())
    return render(request, "accounts/close.html", {"reasons": reasons})


@reauthentication_required
def _close_account(request: MemberRequest) -> HttpResponse:
    try:
        close_account(member=request.user, at=clock.now())
    except Refusal as refusal:
        show_refusal(request, refusal)
        return redirect("close-account")
    logout(request)
    messages.success(request, _("Your account and data have been deleted."))
    return redirect("front")


@never_cache
@require_POST
def renew_token(request: HttpRequest) -> HttpResponse:
    """Set the next pair of token cookies; called by static/tokens.js."""
    answer: HttpResponse
    try:
        if not request.user.is_authenticated:
            raise TokenError
        pair = web_tokens.renew(request, request.user)
    except TokenError:
        answer = JsonResponse({"detail": _("You are not signed in."), "code": "signed_out"}, status=401)
        web_tokens.clear_cookies(answer)
        return answer
    answer = HttpResponse(status=204)
    web_tokens.set_cookies(answer, request, pair)
    return answer
