"""Renders every response of the API as JSON, whatever the client accepts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

_encoder = JSONEncoder()
# The errors of a list have the indexes of its items as keys.
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


def render_json(data: Any) -> bytes:
    """Return `data` as JSON: the bytes of REST framework's own renderer, in a tenth of its time."""
    told = orjson.dumps(data, default=_plain, option=OPTIONS)
    # These are line terminators in JavaScript, though not in JSON.
    return told.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def _plain(value: Any) -> Any:
    """Convert dates, decimals, lazy strings and the like as REST framework does."""
    return _encoder.default(value)


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return b"" if data is None else render_json(data)


class JSONOnlyNegotiation(BaseContentNegotiation):
    """Answers JSON to a browser that asks for HTML too, since a 406 would not help."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        sent = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, Any]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
