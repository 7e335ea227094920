"""Implements `Idempotency-Key`: a call that is sent again is executed once and gets the same response.

A client that received no response does not know whether its call succeeded. With a key of its choice, it can
send the same call again and gets the response to the first. The key is stored in the transaction of the call
itself: either both are committed or neither is.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import OperationalError, connection, transaction
from django.http import HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from lori_assignment.db.errors import LOCK_NOT_AVAILABLE, sqlstate
from lori_assignment.db.transactions import atomic_with_retry
from lori_assignment.errors import Refusal
from lori_assignment.models import IdempotencyRecord
from lori_assignment.rest.renderers import render_json

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY_LENGTH = 255
# How long a call waits for the same call in progress. A longer wait would occupy a thread for too long.
LOCK_TIMEOUT = "'2s'"

View = Callable[..., Any]


class KeyInvalid(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "idempotency_key_invalid"
    default_detail = _("An Idempotency-Key must have 1 to 255 printable ASCII characters.")


class KeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"
    default_detail = _(
        "This Idempotency-Key was used for a different request. Use a new key for each request."
    )


class RequestInProgress(Refusal):
    code = "request_in_progress"
    message = _(
        "The same request is still being processed. Send it again in a few seconds to get its response."
    )
    retry_after = 1


def idempotent(action: View) -> View:
    """Decorate a method of a ResourceViewSet that handles a POST by an authenticated user.

    Without the header nothing changes. With it, the whole action is one transaction, which begins by claiming
    the key and ends by storing the response. Raises KeyInvalid, KeyReused or RequestInProgress.
    """

    @functools.wraps(action)
    def wrapper(view: Any, request: Request, **kwargs: Any) -> HttpResponseBase:
        key = request.headers.get(HEADER)
        if key is None:
            return action(view, request, **kwargs)
        if not re.fullmatch(rf"[ -~]{{1,{MAX_KEY_LENGTH}}}", key):
            raise KeyInvalid
        return _with_key(action, view, request, kwargs, key=key)

    wrapper.is_idempotent = True  # type: ignore[attr-defined]  # for the OpenAPI document and a test of all routes
    return wrapper


@atomic_with_retry
def _with_key(
    action: View, view: Any, request: Request, kwargs: dict[str, Any], *, key: str
) -> HttpResponseBase:
    digest = fingerprint(request)
    record, is_new = _claim(key=key, fingerprint=digest, user_id=request.user.pk, at=view.now)
    if not is_new:
        return _replay(record, digest)
    answer = action(view, request, **kwargs)
    if answer.status_code < status.HTTP_400_BAD_REQUEST:
        _store(answer, record)
    else:
        # The action refused with a response instead of an exception. Errors are not stored.
        transaction.set_rollback(True)
    return answer


def fingerprint(request: Request) -> str:
    """Return a digest of the method, the path and the parsed body: equal for calls that mean the same.

    The bytes of the body may differ: a client may serialize a repeated call with its keys in another order,
    and the boundary of a multipart form is different each time.
    """
    path = request.path.rstrip("/")
    canonical = json.dumps([request.method, path, _content(request.data)], sort_keys=True, default=_content)
    if isinstance(request.data, QueryDict):
        # No JSON begins with this, so none can pass for a form.
        canonical = f"form {canonical}"
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _content(data: Any) -> Any:
    """Convert the parts of a form to what JSON can represent."""
    if isinstance(data, QueryDict):
        return {"form": dict(data.lists())}
    if isinstance(data, UploadedFile):
        sent = hashlib.sha256()
        for chunk in data.chunks():
            sent.update(chunk)
        data.seek(0)
        return {"file": [data.name, data.content_type, sent.hexdigest()]}
    return data


def _claim(*, key: str, fingerprint: str, user_id: Any, at: datetime) -> tuple[IdempotencyRecord, bool]:
    """Return the record of this key, and whether it is new. Raises RequestInProgress.

    On PostgreSQL a second call with the key waits in the INSERT until the first has committed or rolled
    back. On SQLite it has already waited at BEGIN, since there is only one writer at a time.
    """
    answers = IdempotencyRecord.objects.filter(user_id=user_id, key=key)
    with _lock_timeout(LOCK_TIMEOUT):
        answers.expired(at).delete()
        facts = {"fingerprint": fingerprint, "made_at": at}
        return answers.get_or_create(user_id=user_id, key=key, defaults=facts)


@contextmanager
def _lock_timeout(time: str) -> Iterator[None]:
    """Limit the wait for a lock that another transaction holds. Raises RequestInProgress at the limit."""
    _set_lock_timeout(time)
    try:
        yield
    except OperationalError as error:
        # The error ends the transaction, and the setting with it.
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise RequestInProgress from None
        raise
    _set_lock_timeout("DEFAULT")


def _set_lock_timeout(time: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout TO {time}")


def _replay(record: IdempotencyRecord, fingerprint: str) -> HttpResponse:
    if record.fingerprint != fingerprint:
        raise KeyReused
    headers = {**record.headers, REPLAYED: "true"}
    return HttpResponse(record.body, status=record.status, content_type="application/json", headers=headers)


def mark_as_replayed(answer: Response) -> Response:
    """Say in the response that this call did nothing new."""
    answer.headers[REPLAYED] = "true"
    return answer


def _store(answer: Response, record: IdempotencyRecord) -> None:
    record.status = answer.status_code
    record.body = render_json(answer.data).decode()
    record.headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
    record.save(update_fields=["status", "body", "headers"])
