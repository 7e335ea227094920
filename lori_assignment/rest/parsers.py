"""How the API reads JSON and forms: strictly, and never more than it can stand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, FormParser, MultiPartParser

MAX_DEPTH = 64
# As many as a form may have fields. No call needs a tenth; each is looked at and, if it is wrong, answered.
MAX_VALUES = 1000


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """JSON in UTF-8, at most 1 MiB, MAX_VALUES and MAX_DEPTH deep, no key twice, only finite numbers.

    REST framework's own parser takes an object's last of two equal keys, reads 1e400 as infinity and
    ends in a RecursionError on ten thousand brackets.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        # What says its size was refused by it already; this is for what would not.
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(_("The body is too large."))
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
            raise ParseError(_("The body is not valid JSON: %(why)s") % {"why": error}) from None
        _check_limits(data)
        return data


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _check_limits(data: Any) -> None:
    """Raises ParseError for more than MAX_VALUES, for what is deeper than MAX_DEPTH, and for half of a
    surrogate pair.

    Python reads the escape of half a pair, and then can neither store nor answer it.
    """
    waiting, values = [(data, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if values > MAX_VALUES:
            raise ParseError(_("The JSON has too many values."))
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
        raise ParseError(_("A text has half of a surrogate pair.")) from None


class StrictFormParser(FormParser):
    """A form in UTF-8, no field twice.

    REST framework's own puts a replacement character for what is no UTF-8, and takes the last of two.
    """

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read()
        try:
            unquote_to_bytes(body).decode()
        except UnicodeDecodeError:
            raise ParseError(_("The form is not in UTF-8.")) from None
        fields = QueryDict(body)
        _refuse_duplicate_fields(fields)
        return fields


class StrictMultiPartParser(MultiPartParser):
    """The same for a form with files."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        parsed = super().parse(stream, media_type, parser_context)
        texts = [text for name, values in parsed.data.lists() for text in (name, *values)]
        # Django reads the parts, and this is what it leaves of bytes that are no UTF-8. Who really sends
        # the sign is refused too: it stands for a letter that was lost, and belongs into no name.
        if any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
            raise ParseError(_("The form is not in UTF-8."))
        _refuse_duplicate_fields(parsed.data)
        _refuse_duplicate_fields(parsed.files)
        return parsed


def _refuse_duplicate_fields(fields: Any) -> None:
    if any(len(values) > 1 for _name, values in fields.lists()):
        raise ParseError(_("A field stands twice in the form."))
