"""Strict parsers for JSON and forms, with limits on the size and nesting of a body."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, FormParser, MultiPartParser

from lori_assignment.errors import BodyTooLarge
from lori_assignment.http.charset import has_lost_letters

MAX_DEPTH = 64
# No call needs a tenth; each wrong value adds to the response.
MAX_VALUES = 1000


class StrictJSONParser(BaseParser):
    """Parses JSON in UTF-8, of at most 64 KiB, MAX_VALUES values and MAX_DEPTH levels.

    Duplicate keys and infinite numbers are refused. REST framework's own parser keeps the last of two equal
    keys, reads 1e400 as infinity and ends in a RecursionError on ten thousand brackets.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = _read(stream)
        try:
            data = json.loads(
                body.decode("utf-8"),
                object_pairs_hook=_unique_keys,
                parse_float=_finite,
                parse_constant=_refuse_constant,
            )
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        except ValueError as error:
            raise ParseError(_("The request body is not valid JSON: %(why)s") % {"why": error}) from None
        _check_limits(data)
        return data


def _read(stream: IO[bytes]) -> bytes:
    """Read a body without files. RequestLimitsMiddleware has only checked the declared size."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(most + 1)
    if len(body) > most:
        raise BodyTooLarge(most)
    return body


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _check_limits(data: Any) -> None:
    """Raise ParseError for more than MAX_VALUES, for nesting deeper than MAX_DEPTH, and for a lone surrogate.

    Python parses an escaped lone surrogate, but can neither store nor encode it.
    """
    waiting, values = [(data, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if values > MAX_VALUES:
            raise ParseError(_("The JSON contains too many values."))
        if depth > MAX_DEPTH:
            raise ParseError(_("The JSON is nested too deeply."))
        if isinstance(value, dict):
            for key in value:
                _refuse_lone_surrogate(key)
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str):
            _refuse_lone_surrogate(value)


def _refuse_lone_surrogate(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError(_("A string contains an unpaired surrogate.")) from None


class StrictFormParser(FormParser):
    """Parses a form in UTF-8 without duplicate fields.

    REST framework's own parser puts replacement characters for invalid UTF-8 and keeps the last duplicate.
    """

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = _read(stream)
        try:
            fields = QueryDict(body.decode())
        except UnicodeDecodeError:
            raise ParseError(_("The form isn't encoded in UTF-8.")) from None
        if has_lost_letters(fields):
            raise ParseError(_("The form isn't encoded in UTF-8."))
        _refuse_duplicate_fields(fields)
        return fields


class StrictMultiPartParser(MultiPartParser):
    """Parses a form with files by the same rules as StrictFormParser."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        parsed = super().parse(stream, media_type, parser_context)
        if has_lost_letters(parsed.data):
            raise ParseError(_("The form isn't encoded in UTF-8."))
        _refuse_duplicate_fields(parsed.data)
        _refuse_duplicate_fields(parsed.files)
        return parsed


def _refuse_duplicate_fields(fields: Any) -> None:
    if any(len(values) > 1 for _name, values in fields.lists()):
        raise ParseError(_("A field appears more than once in the form."))
