"""Serves cover images from the default storage: the local disk or a private S3 bucket."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)

# Only names made by `clean_cover`; other files in the folder are not served.
COVER = r"covers/[0-9a-f]{32}\.webp"
# A name is never reused, so what is fetched under it never changes.
FOR_EVER = "public, max-age=31536000, immutable"


@require_safe
def cover(request: HttpRequest, name: str) -> HttpResponseBase:
    # WebP is compressed already; without gzip the Content-Length stays known.
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
            logger.exception("A cover image couldn't be read.")
            return HttpResponse(status=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})
    response["ETag"] = etag
    response["Cache-Control"] = FOR_EVER
    return response
