"""Turns exceptions in the API's views into responses with one documented body.

The body is `{"detail": "…", "code": "…"}`, or `{"field": ["…"]}` for invalid fields. A refusal by a rule of
the shop answers 409 and lists all its reasons; an unavailable database answers 503.
`lori_assignment.http.problem_details` converts the body for clients that prefer RFC 9457.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, UnreadablePostError
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from lori_assignment.db.errors import CODE, DETAIL, Unavailable, classify_error, log_unavailable
from lori_assignment.errors import Refusal, Throttled, describe_limit
from lori_assignment.http.problem_details import format_error
from lori_assignment.observability import security_log

LOGGED_STATUSES = {status.HTTP_403_FORBIDDEN: "refused", status.HTTP_429_TOO_MANY_REQUESTS: "throttled"}


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def handle_api_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to an exception raised by a view; None for a bug, which becomes a 500."""
    answer = _build_response(error, context)
    if answer is not None:
        accept = context["request"].headers.get("Accept", "")
        answer.data, answer.content_type = format_error(answer.data, status=answer.status_code, accept=accept)
        patch_vary_headers(answer, ["Accept"])
        _log_refusal(answer.status_code, context["request"])
    return answer


def _log_refusal(status_code: int, request: Any) -> None:
    if status_code in LOGGED_STATUSES:
        # Not `request.user`, which authenticates: authentication may be what failed.
        user = getattr(request, "_user", None)
        security_log.log_event(LOGGED_STATUSES[status_code], request, account=user.pk if user else None)


def _build_response(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, Refusal):
        set_rollback()
        later = {"Retry-After": str(error.retry_after)} if error.retry_after else None
        return Response(_refusal_body(error), status=status.HTTP_409_CONFLICT, headers=later)
    if fault := classify_error(error):
        return _unavailable(fault, context["request"])
    if isinstance(error, RequestDataTooBig):
        error = TooLarge(describe_limit(error))
    elif isinstance(error, (SuspiciousOperation, UnreadablePostError)):
        # Too many fields or files in a form, a file name that contains a path, or an incomplete body.
        error = exceptions.ParseError(describe_limit(error) or _("The request body can't be read."))
    elif isinstance(error, (Http404, ObjectDoesNotExist)):
        # ObjectDoesNotExist: the object was deleted before the view could lock it.
        error = exceptions.NotFound()
    elif isinstance(error, Throttled):
        error = exceptions.Throttled(wait=error.seconds, detail=str(error.message))
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    answer = exception_handler(error, context)
    if answer is not None and isinstance(error, exceptions.APIException):
        answer.data = _body(error, answer.data)
    return answer


def _unavailable(fault: Unavailable, request: Request) -> Response:
    log_unavailable(fault, method=request.method, path=request.path)
    answer = Response(
        {"detail": DETAIL, "code": CODE},
        status=status.HTTP_503_SERVICE_UNAVAILABLE,
        headers={"Retry-After": str(fault.retry_after)},
    )
    # log_unavailable() has logged it; Django would log it again, as a server error.
    answer._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return answer


def _refusal_body(refusal: Refusal) -> dict[str, Any]:
    return {
        "detail": str(refusal),
        "code": refusal.code,
        "reasons": [{"detail": str(reason), "code": reason.code} for reason in refusal.reasons],
    }


def _body(error: exceptions.APIException, data: Any) -> Any:
    if isinstance(error, exceptions.ValidationError):
        # A list comes from a validator that names no field.
        return {"non_field_errors": data} if isinstance(data, list) else data
    if isinstance(error.detail, dict):
        # simplejwt's errors have their own code, and nest the reason in `messages`.
        return {"detail": _token_error_detail(error.detail), "code": error.detail["code"]}
    code = error.get_codes()
    return {"detail": PLAIN_DETAILS.get(str(code), error.detail), "code": code}


# REST framework's own messages do not say what to do.
PLAIN_DETAILS = {
    "not_authenticated": gettext_lazy(
        "Authentication required. Send the header Authorization: JWT <token> with a token from POST "
        "/api-token-auth/."
    ),
    "permission_denied": gettext_lazy("Only staff can do this."),
}


def _token_error_detail(detail: dict[str, Any]) -> Any:
    reasons = " ".join(str(inner.get("message")) for inner in detail.get("messages", []))
    if "expired" in reasons:
        return _("This token has expired. Get a new one from POST /api-token-refresh/.")
    if "wrong type" in reasons:
        return _("This is not an access token. Refresh tokens only work with POST /api-token-refresh/.")
    return _("This token is invalid.") if reasons else detail["detail"]
