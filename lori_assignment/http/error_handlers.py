"""Answers errors that occur outside the API's views: with JSON under /api, with a page elsewhere.

Django itself calls most of these handlers: for an unknown path, a malformed request, a failed CSRF check or
an uncaught exception.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.shortcuts import render
from django.template import loader
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views import defaults

from lori_assignment.db.errors import CODE, DETAIL, Unavailable, classify_error, log_unavailable
from lori_assignment.errors import Busy, Throttled, describe_limit
from lori_assignment.http.member_pages import referring_page, unsecret_post_data
from lori_assignment.http.problem_details import format_error
from lori_assignment.observability import security_log


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api")


def _json(request: HttpRequest, status_code: int, code: str, detail: str) -> JsonResponse:
    accept = request.headers.get("Accept", "")
    body, kind = format_error({"detail": detail, "code": code}, status=status_code, accept=accept)
    json_options = {"separators": (",", ":"), "ensure_ascii": False}
    answer = JsonResponse(body, status=status_code, content_type=kind, json_dumps_params=json_options)
    patch_vary_headers(answer, ["Accept"])
    return answer


def _log_event(event: str, request: HttpRequest) -> None:
    """Log `event` with the account, if that is known without a query."""
    user = getattr(request, "_cached_user", None)
    security_log.log_event(event, request, account=user.pk if user else None)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = describe_limit(exception)
    if isinstance(exception, RequestDataTooBig):
        if _is_api(request):
            return _json(request, 413, "too_large", str(said))
        return render(request, "413.html", {"limit": said}, status=413)
    if _is_api(request):
        return _json(request, 400, "bad_request", said or _("The request is malformed."))
    return render(request, "400.html", {"limit": said}, status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    _log_event("refused", request)
    if _is_api(request):
        return _json(request, 403, "permission_denied", _("You don't have permission to do this."))
    return defaults.permission_denied(request, exception)


def https_required(request: HttpRequest) -> HttpResponse:
    return _json(
        request, 403, "https_required", _("Use HTTPS. Anyone on the way can read what is sent over HTTP.")
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return _json(request, 404, "not_found", _("Not found. See /swagger for all endpoints."))
    return defaults.page_not_found(request, exception)


def length_required(request: HttpRequest) -> HttpResponse:
    """Answer 411. Always JSON, since browsers send a Content-Length."""
    said = _("Send the request body with a Content-Length. Chunked bodies are not accepted.")
    return _json(request, 411, "length_required", said)


def too_many_requests(request: HttpRequest, refusal: Throttled | None = None) -> HttpResponse:
    """Answer 429. allauth calls this without `refusal`, for its own limits."""
    refusal = refusal or Throttled(60)
    answer: HttpResponse
    if _is_api(request):
        answer = _json(request, 429, refusal.code, str(refusal.message))
    else:
        answer = render(request, "429.html", {"is_busy": isinstance(refusal, Busy)}, status=429)
    answer.headers["Retry-After"] = str(refusal.seconds)
    return answer


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, 503, or 400. Called while the uncaught exception is being handled."""
    error = sys.exc_info()[1]
    if fault := classify_error(error):
        return _service_unavailable(request, fault)
    if isinstance(error, UnreadablePostError):
        # The client went away, or stopped, before it had sent its body.
        return bad_request(request, error)
    if _is_api(request):
        return _json(request, 500, "error", _("Something went wrong on our side."))
    return defaults.server_error(request)


def _service_unavailable(request: HttpRequest, fault: Unavailable) -> HttpResponse:
    log_unavailable(fault, method=request.method, path=request.path)
    answer: HttpResponse
    if _is_api(request):
        answer = _json(request, 503, CODE, str(DETAIL))
    else:
        # Rendered without the request, as for 500: the signed-in user is in the database too.
        answer = HttpResponse(loader.get_template("503.html").render(), status=503)
    answer.headers["Retry-After"] = str(fault.retry_after)
    # log_unavailable() has logged it; Django would log it again, as a server error.
    answer._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose CSRF token does not match the session.

    Mostly such a form was open while somebody signed in or out in another tab. A form of our own pages, which
    its Origin header shows, can be sent again as it was filled in. What another site sent is not offered
    again, because the user never meant to send it.
    """
    _log_event("csrf_refused", request)
    if _is_api(request):
        return _json(
            request, 403, "csrf_failed", _("The CSRF token is missing or doesn't belong to this session.")
        )
    facts = {
        "ours": _is_from_our_page(request),
        "sent": _submitted_values(request),
        "back": referring_page(request),
    }
    return render(request, "session_ended.html", facts, status=403)


def _is_from_our_page(request: HttpRequest) -> bool:
    origin = urlsplit(request.headers.get("Origin", ""))
    return origin.netloc == request.get_host()


def _submitted_values(request: HttpRequest) -> list[tuple[str, str]] | None:
    """Return the submitted fields; None if there is a secret or a file, which a page must not contain."""
    typed = unsecret_post_data(request)
    if set(request.POST) - set(typed) - {"csrfmiddlewaretoken"} or request.FILES:
        return None
    return [(name, text) for name, values in typed.items() for text in values]
