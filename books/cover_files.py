"""Covers, given out from wherever they are kept: this machine's disk, or a bucket that nobody else reads."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)

# The names that books/covers.py gives, and nothing else that may lie beside them.
COVER = r"covers/[0-9a-f]{32}\.webp"
# A name is given once and never again, so what has been fetched under it stays what it is.
FOR_EVER = "public, max-age=31536000, immutable"


@require_safe
def cover(request: HttpRequest, name: str) -> HttpResponseBase:
    # Pictures are compressed already, and the length stays known.
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    etag = f'"{PurePosixPath(name).stem}"'
    response: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if response is None:
        try:
            file = default_storage.open(name)
            response = FileResponse(file, content_type="image/webp")
            response["Content-Length"] = file.size
        except FileNotFoundError:
            raise Http404 from None
        except OSError:
            logger.exception("A cover cannot be read.")
            return HttpResponse(status=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})
    response["ETag"] = etag
    response["Cache-Control"] = FOR_EVER
    return response
