"""Generates the OpenAPI document of the API, at /swagger, /redoc, /swagger.json and /swagger.yaml.

It is derived from the views: the first line of a method's docstring is the summary and the rest the
description, `tag` is the group, `get_serializer_class()` the request and `get_response_serializer_class()`
the response. Errors follow from the permissions, the path and the method.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from functools import cache
from typing import Any, cast

import django_filters as filters
from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import re_path
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.translation import get_language
from django.views.decorators.csrf import csrf_exempt
from drf_yasg import openapi
from drf_yasg.generators import OpenAPISchemaGenerator
from drf_yasg.inspectors import FieldInspector, SwaggerAutoSchema
from drf_yasg.utils import no_body
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.serializers import Serializer
from rest_framework.test import APIRequestFactory

from lori_assignment import clock
from lori_assignment.db.errors import CODE, DETAIL
from lori_assignment.rest.filters import KeyFilter, OneOfFilter, StrictBooleanFilter
from lori_assignment.rest.idempotency import HEADER, MAX_KEY_LENGTH

INFO = openapi.Info(
    title="Lori Books",
    default_version="v1 v2 v3",
    description=(
        "The API of a book-rental shop. Sign in with `POST /api-token-auth/`, press *Authorize* and enter "
        "`JWT`, a space and the token. If you are signed in on the website, you can skip this. "
        "v3 is the current version; v1 and v2 keep the shape of the first service. Every path answers with "
        "and without a trailing slash. Errors are sent as `application/problem+json` (RFC 9457) if the "
        "Accept header names it."
    ),
)

PATH_VALUES = {
    "ref": "The rental's reference number.",
    "user_id": "The member's ID.",
    "id": "ID.",
}

ERROR = openapi.Schema(
    "Error",
    description="What went wrong: a message for people and a code for programs.",
    type=openapi.TYPE_OBJECT,
    required=["detail", "code"],
    properties={
        "detail": openapi.Schema(type=openapi.TYPE_STRING),
        "code": openapi.Schema(type=openapi.TYPE_STRING),
    },
)
REFUSAL = openapi.Schema(
    "Refusal",
    description="Refused by a rule of the shop. `reasons` lists every rule that applies, including the "
    "first.",
    type=openapi.TYPE_OBJECT,
    required=["detail", "code", "reasons"],
    properties={
        "detail": openapi.Schema(type=openapi.TYPE_STRING),
        "code": openapi.Schema(type=openapi.TYPE_STRING),
        "reasons": openapi.Schema(
            type=openapi.TYPE_ARRAY,
            items=openapi.Schema(
                type=openapi.TYPE_OBJECT,
                required=["detail", "code"],
                properties={
                    "detail": openapi.Schema(type=openapi.TYPE_STRING),
                    "code": openapi.Schema(type=openapi.TYPE_STRING),
                },
            ),
        ),
    },
)
INVALID = openapi.Schema(
    "Invalid",
    description=(
        "The invalid fields with their errors, or `detail` and `code` if the body couldn't be read."
    ),
    type=openapi.TYPE_OBJECT,
)


def _error(description: str, schema: openapi.Schema, example: dict[str, Any]) -> openapi.Response:
    return openapi.Response(description, schema, examples={"application/json": example})


def _plain(description: str, detail: str, code: str) -> openapi.Response:
    return _error(description, ERROR, {"detail": detail, "code": code})


ERRORS = {
    "400": _error("Invalid request.", INVALID, {"field": ["This field is required."]}),
    "401": _plain(
        "No valid token.",
        "This token has expired. Get a new one from POST /api-token-refresh/.",
        "token_not_valid",
    ),
    "403": _plain("Staff only.", "Only staff can do this.", "permission_denied"),
    "404": _plain("Not found, or not visible to you.", "Not found.", "not_found"),
    "409": _error(
        "Refused by a rule, or a request with this `Idempotency-Key` is still being processed; "
        "`Retry-After` says when to try again.",
        REFUSAL,
        {
            "detail": "No copy of this book is available right now.",
            "code": "book_unavailable",
            "reasons": [
                {"detail": "No copy of this book is available right now.", "code": "book_unavailable"}
            ],
        },
    ),
    "412": _plain(
        "The resource no longer matches `If-Match`.",
        "This has changed since you loaded it. Load it again.",
        "precondition_failed",
    ),
    "411": _plain(
        "The body is chunked.",
        "Send the request body with a Content-Length. Chunked bodies are not accepted.",
        "length_required",
    ),
    "413": _plain(
        "The body is larger than 64 KiB, or 6 MiB for the form of a book with a cover.",
        "The request body is too large. The limit is 64 KiB.",
        "too_large",
    ),
    "415": _plain(
        "The body is neither JSON nor a form.",
        'Unsupported media type "text/plain" in request.',
        "unsupported_media_type",
    ),
    "422": _plain(
        "This `Idempotency-Key` was used for a different request.",
        "This Idempotency-Key was used for a different request. Use a new key for each request.",
        "idempotency_key_reused",
    ),
    "429": _plain(
        "Too many requests; `Retry-After` says when to try again.", "Request was throttled.", "throttled"
    ),
    "503": _plain(
        "The database is unavailable or read-only; `Retry-After` says when to try again.", str(DETAIL), CODE
    ),
}

IDEMPOTENCY_KEY = openapi.Parameter(
    HEADER,
    openapi.IN_HEADER,
    description=(
        "A unique value that you choose for this request, such as a UUID. If you repeat the request with "
        "the same key within 24 hours, you get the first response again, with `Idempotency-Replayed: true`."
    ),
    required=False,
    type=openapi.TYPE_STRING,
    min_length=1,
    max_length=MAX_KEY_LENGTH,
)

ETAG = {
    "ETag": {
        "type": openapi.TYPE_STRING,
        "description": "Version of this response, for If-None-Match and If-Match.",
    }
}
IF_NONE_MATCH = openapi.Parameter(
    "If-None-Match",
    openapi.IN_HEADER,
    description="The ETag you already have: 304 if nothing has changed.",
    required=False,
    type=openapi.TYPE_STRING,
)
IF_MATCH = openapi.Parameter(
    "If-Match",
    openapi.IN_HEADER,
    description="The ETag of the version you loaded: 412 if it has changed since.",
    required=False,
    type=openapi.TYPE_STRING,
)


class PlainPatterns(FieldInspector):
    r"""Omits patterns that have another meaning in JavaScript, whose syntax JSON Schema uses.

    JavaScript has no `\A`, and its `\w` is ASCII only: the document would reject a username with an umlaut.
    """

    def process_result(self, result: Any, method_name: str, obj: Any, **facts: Any) -> Any:
        if isinstance(result, openapi.Schema) and re.search(r"\\[a-zA-Z]", result.get("pattern", "")):
            del result["pattern"]
        return result


class OperationDocs(SwaggerAutoSchema):
    """Describes one method of one path."""

    field_inspectors = [PlainPatterns, *SwaggerAutoSchema.field_inspectors]

    @property
    def action(self) -> str:
        return getattr(self.view, "action", self.method.lower())

    @property
    def version(self) -> str | None:
        """v1, v2 or v3; None for a path without a version."""
        part = self.path.strip("/").split("/")[1:2]
        return part[0] if self.path.startswith("/api/v") else None

    def get_summary_and_description(self) -> tuple[str, str]:
        lines = (inspect.getdoc(getattr(self.view, self.action)) or "").partition("\n")
        return lines[0], lines[2].strip()

    def get_tags(self, operation_keys: Any = None) -> list[str]:
        return [f"{self.version} {self.view.tag}" if self.version else self.view.tag]

    def get_security(self) -> list[Any] | None:
        return [] if self._is_for_anyone() else None

    def _is_for_anyone(self) -> bool:
        return any(isinstance(permission, AllowAny) for permission in self.view.get_permissions())

    @property
    def is_idempotent(self) -> bool:
        return getattr(getattr(self.view, self.action), "is_idempotent", False)

    @property
    def is_read_with_etag(self) -> bool:
        view = self.view
        return (self.action == "retrieve" and getattr(view, "has_etags", False)) or (
            self.action == "list" and getattr(view, "lists_have_etags", False)
        )

    @property
    def is_changed_by_etag(self) -> bool:
        changes = ("update", "partial_update", "destroy", "bring_back", "renew")
        return getattr(self.view, "has_etags", False) and self.action in changes

    def add_manual_parameters(self, parameters: list[openapi.Parameter]) -> list[openapi.Parameter]:
        headers = [IDEMPOTENCY_KEY] if self.is_idempotent else []
        if self.is_read_with_etag:
            headers.append(IF_NONE_MATCH)
        if self.is_changed_by_etag:
            headers.append(IF_MATCH)
        return super().add_manual_parameters(parameters) + headers

    def get_request_serializer(self) -> Any:
        if self.method == "DELETE" or self.overrides.get("request_body") is no_body:
            return None
        serializer = super().get_request_serializer()
        if self.method == "PATCH" and isinstance(serializer, Serializer):
            return _with_nothing_required(serializer)
        return serializer

    def get_default_responses(self) -> dict[str, Any]:
        answer = self.view.get_response_serializer_class()
        if answer is None:
            # A DELETE answers without a body, other methods with an empty object.
            status = "204" if self.method == "DELETE" else "200"
            return {status: openapi.Response("Done.")}
        schema = self.serializer_to_schema(answer())
        if self.has_list_response():
            schema = openapi.Schema(type=openapi.TYPE_ARRAY, items=schema)
            if self.version == "v3" and self.should_page():
                schema = self._cursor_page(schema)
        status = "201" if self.action == "create" else str(getattr(self.view, "response_status", 200))
        if self.is_read_with_etag:
            return {
                status: openapi.Response("Done.", schema, headers=ETAG),
                "304": openapi.Response("It is still what `If-None-Match` says."),
            }
        return {status: openapi.Response("Done.", schema)}

    def _cursor_page(self, rows: openapi.Schema) -> openapi.Schema:
        address = {"type": openapi.TYPE_STRING, "format": openapi.FORMAT_URI, "x-nullable": True}
        return openapi.Schema(
            type=openapi.TYPE_OBJECT,
            required=["next", "previous", "results"],
            properties={
                "next": openapi.Schema(**address),
                "previous": openapi.Schema(**address),
                "results": rows,
            },
        )

    def get_responses(self) -> openapi.Responses:
        responses = super().get_responses()
        for status in self._error_statuses():
            if status not in responses:
                responses[status] = ERRORS[status]
        return responses

    def _error_statuses(self) -> list[str]:
        has_body = self.method in ("POST", "PUT", "PATCH")
        permissions = self.view.get_permissions()
        statuses = []
        if has_body or self.get_query_parameters() or self.overrides.get("manual_parameters"):
            statuses.append("400")
        if not self._is_for_anyone() or getattr(self.view, "refuses_credentials", False):
            statuses.append("401")
        if any(isinstance(permission, IsAdminUser) for permission in permissions):
            statuses.append("403")
        # An unknown cursor is a 404, as an unknown path or a wrong key from a mail is.
        if "{" in self.path or self.should_page() or getattr(self.view, "may_not_find", False):
            statuses.append("404")
        if self.action == "quote" or (self.version and self.method != "GET" and self.view.tag != "accounts"):
            statuses.append("409")
        if has_body:
            statuses += ["411", "413", "415"]
        if self.is_changed_by_etag:
            statuses.append("412")
        if self.is_idempotent:
            statuses.append("422")
        if getattr(self.view, "throttle_scope", None) or (
            has_body and getattr(self.view, "may_be_busy", False)
        ):
            statuses.append("429")
        return [*statuses, "503"]

    def has_list_response(self) -> bool:
        is_array = self.action == "balance" and self.version in ("v1", "v2")
        return self.action in ("list", "rentals") or is_array

    def should_page(self) -> bool:
        return self.action in ("list", "rentals", "statement")

    def should_filter(self) -> bool:
        return self.action == "list" and hasattr(self.view, "filterset_class")

    def get_filter_parameters(self) -> list[openapi.Parameter]:
        if not self.should_filter():
            return []
        fields = self.view.filterset_class.base_filters.items()
        return [_query_parameter(name, field) for name, field in fields]


def _with_nothing_required(serializer: Serializer[Any]) -> Serializer[Any]:
    """Return a serializer for PATCH: the same fields, all optional, under another `ref_name`."""
    kind: Any = type(serializer)
    meta = type("Meta", (kind.Meta,), {"ref_name": f"{kind.Meta.ref_name}Patch"})
    partial = type(kind.__name__, (kind,), {"Meta": meta})(context=serializer.context)
    for field in partial.fields.values():
        field.required = False
    return partial


def _query_parameter(name: str, field: filters.Filter) -> openapi.Parameter:
    facts: dict[str, Any] = {"type": openapi.TYPE_STRING}
    if isinstance(field, StrictBooleanFilter):
        facts = {"type": openapi.TYPE_BOOLEAN}
    elif isinstance(field, KeyFilter):
        facts = {"type": openapi.TYPE_INTEGER}
    elif isinstance(field, filters.ChoiceFilter | OneOfFilter):
        choices = [choice for choice, _ in field.extra["choices"]]
        numbers = all(isinstance(choice, int) for choice in choices)
        facts = {"type": openapi.TYPE_INTEGER if numbers else openapi.TYPE_STRING, "enum": choices}
    return openapi.Parameter(
        name, openapi.IN_QUERY, description=str(field.extra.get("help_text") or ""), required=False, **facts
    )


class DocumentGenerator(OpenAPISchemaGenerator):
    """Describes all versions in one document, each path with the serializers of its version."""

    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        view = super().create_view(callback, method, request)
        if view.request is None:
            view.request = view.initialize_request(APIRequestFactory().generic(method, "/"))
        view.request.version = "v3"
        view.kwargs = {}
        view.now = clock.now()
        return view

    def get_schema(self, request: Any = None, public: bool = False) -> openapi.Swagger:
        """Omit the host, so that calls go to the server that the document came from."""
        document = super().get_schema(request, public)
        for named in ("host", "schemes"):
            document.pop(named, None)
        return document

    def get_operation(
        self, view: Any, path: str, prefix: str, method: str, components: Any, request: Any
    ) -> openapi.Operation:
        if path.startswith("/api/v"):
            view.request.version = path.split("/")[2]
        return super().get_operation(view, path, prefix, method, components, request)

    def get_path_parameters(self, path: str, view_cls: Any) -> list[openapi.Parameter]:
        return [
            openapi.Parameter(
                name, openapi.IN_PATH, description=description, required=True, type=openapi.TYPE_INTEGER
            )
            for name, description in PATH_VALUES.items()
            if f"{{{name}}}" in path
        ]


# Documents by type and language, and not by Host, which may have any port. Building one takes a quarter of a
# second, and the YAML three.
_documents: dict[tuple[str, str | None], bytes] = {}


@cache
def _document_view() -> Any:
    """Return drf-yasg's view, which answers JSON, YAML or a page depending on the path and the browser.

    Imported on the first request: its YAML and its validator double the time that drf-yasg takes to load.
    """
    from drf_yasg.renderers import OpenAPIRenderer, SwaggerJSONRenderer, SwaggerYAMLRenderer
    from drf_yasg.views import get_schema_view

    stock: Any = get_schema_view(INFO, public=True, permission_classes=[AllowAny], authentication_classes=[])

    class DocumentView(stock):
        content_negotiation_class = DefaultContentNegotiation
        versioning_class = None

        def get(self, request: Any, version: str = "", format: str | None = None) -> HttpResponseBase:
            renderer = request.accepted_renderer
            if not isinstance(renderer, OpenAPIRenderer | SwaggerJSONRenderer | SwaggerYAMLRenderer):
                # The page, which loads the document.
                return cast(HttpResponseBase, super().get(request, version, format))
            key = (renderer.media_type, get_language())
            body = _documents.get(key)
            if body is None:
                body = renderer.render(super().get(request, version, format).data, renderer.media_type, {})
                _documents[key] = body
            # Weak, because it is compressed.
            etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
            answer = HttpResponse(body, f"{renderer.media_type}; charset=utf-8", headers={"ETag": etag})
            patch_vary_headers(answer, ["Accept"])
            return cast(HttpResponseBase, get_conditional_response(request, etag=etag, response=answer))

    return DocumentView


# Swagger UI adds one style element to its page, which this hash permits.
SWAGGER_CSP = {"style-src": [SELF, "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='"]}
# Redoc adds styles to its page and starts a worker from a blob. The page has no personal data.
REDOC_CSP = {"style-src": [SELF, UNSAFE_INLINE], "worker-src": ["blob:"]}


@csrf_exempt
def document(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
    return cast(HttpResponseBase, _document_view().without_ui()(request, **kwargs))


@csrf_exempt
@csp_update(SWAGGER_CSP)
def swagger(request: HttpRequest) -> HttpResponseBase:
    return cast(HttpResponseBase, _document_view().with_ui("swagger")(request))


@csrf_exempt
@csp_update(REDOC_CSP)
def redoc(request: HttpRequest) -> HttpResponseBase:
    return cast(HttpResponseBase, _document_view().with_ui("redoc")(request))


urlpatterns = [
    re_path(r"^swagger\.(?P<format>json|yaml)$", document, name="swagger-document"),
    re_path(r"^swagger/?$", swagger, name="swagger"),
    re_path(r"^redoc/?$", redoc, name="redoc"),
]
