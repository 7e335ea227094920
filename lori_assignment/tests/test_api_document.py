"""The OpenAPI document is valid for two validators, complete and correct."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import cache
from typing import Any
from unittest import mock

import yaml
from django.test import Client, TestCase, tag
from jsonschema import Draft4Validator
from openapi_spec_validator import OpenAPIV2SpecValidator
from swagger_spec_validator.validator20 import validate_spec

from books.catalogue import ORDERS
from books.models import Copy
from books.stock import add_book
from lori_assignment import api_urls
from lori_assignment.rest import schema
from lori_assignment.rest.schema import DocumentGenerator, OperationDocs
from lori_assignment.testing.cases import CastTestCase
from rentals.models import Hold


@cache
def read_document() -> dict[str, Any]:
    """Return the document, which takes half a second to build. No test may change it."""
    return Client().get("/swagger.json").json()


class Document:
    @property
    def document(self) -> dict[str, Any]:
        return read_document()

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [
            (path, method, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
            if method != "parameters"
        ]

    def resolve(self, schema: Any) -> Any:
        """Return the schema with its references resolved, and `x-nullable` as in JSON Schema."""
        if isinstance(schema, list):
            return [self.resolve(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return self.resolve(self.document["definitions"][schema["$ref"].rpartition("/")[2]])
        resolved = {key: self.resolve(value) for key, value in schema.items() if key != "example"}
        return {"anyOf": [resolved, {"type": "null"}]} if schema.get("x-nullable") else resolved


@tag("any_database")
class DocumentViewTest(TestCase):
    paths = ("/swagger.json", "/swagger.yaml", "/swagger?format=openapi", "/redoc?format=openapi")

    def setUp(self) -> None:
        schema._documents.clear()

    def test_document_is_built_once_for_each_type_and_language(self) -> None:
        build = DocumentGenerator.get_schema
        with mock.patch.object(DocumentGenerator, "get_schema", autospec=True, side_effect=build) as built:
            for language in ("en", "de") * 2:
                for path in self.paths:
                    self.client.get(path, headers={"Accept-Language": language})
        # JSON, YAML and the JSON of the pages, in two languages.
        self.assertEqual(built.call_count, 3 * 2)

    def test_known_document_is_not_sent_again(self) -> None:
        for path in self.paths:
            first = self.client.get(path)
            answer = self.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
            self.assertEqual((answer.status_code, answer.content), (304, b""), path)
            german = self.client.get(path, headers={"Accept-Language": "de"})
            self.assertNotEqual(german.headers["ETag"], first.headers["ETag"])
            self.assertEqual(
                self.client.get(path, headers={"Accept-Encoding": "gzip"})["Content-Encoding"], "gzip"
            )

    def test_document_is_the_same_for_each_host(self) -> None:
        """A Host may have any port, and each could have the document built once more."""
        hosts = [{"SERVER_NAME": "localhost", "SERVER_PORT": port} for port in ("80", "81", "443")]
        for path in self.paths:
            answers = {
                self.client.get(path, **host, secure=host["SERVER_PORT"] == "443").content for host in hosts
            }
            self.assertEqual(len(answers), 1)
        self.assertEqual(len(schema._documents), 3)


@tag("any_database")
class DocumentTest(Document, TestCase):
    def test_two_validators_accept_it(self) -> None:
        # The validator changes its argument.
        validate_spec(deepcopy(self.document))
        self.assertEqual(list(OpenAPIV2SpecValidator(self.document).iter_errors()), [])

    def test_json_and_yaml_are_equal(self) -> None:
        # The loader in C: the one in Python takes five seconds.
        told = yaml.load(self.client.get("/swagger.yaml").content, Loader=yaml.CSafeLoader)
        self.assertEqual(told, self.document)

    def test_every_path_is_documented(self) -> None:
        expected = {f"/{written}/" for written, _ in api_urls.SIGN_IN}
        for version, routes in api_urls.VERSIONS.items():
            expected |= {f"/api/{version}/{written}/" for written, _, _ in routes}
        named = {
            path.replace("<pk>", "{id}").replace("<ref>", "{ref}").replace("<user_id>", "{user_id}")
            for path in expected
        }
        self.assertEqual(set(self.document["paths"]), named)

    def test_every_operation_is_complete(self) -> None:
        seen = set()
        for path, method, operation in self.operations():
            with self.subTest(path=path, method=method):
                self.assertRegex(operation["summary"], r"\A[A-Z].{5,80}\Z")
                self.assertNotRegex(operation["description"], r"\n +")
                self.assertNotIn(operation["operationId"], seen)
                seen.add(operation["operationId"])
                self.assertEqual(len(operation["tags"]), 1)
                good = [status for status in operation["responses"] if status < "300"]
                self.assertEqual(len(good), 1)
                if good != ["204"] and "verify/" not in path:
                    self.assertIn("schema", operation["responses"][good[0]])
                self.assertTrue(path == "/" or any(status > "399" for status in operation["responses"]))
                bodies = [given for given in operation["parameters"] if given["in"] == "body"]
                self.assertLessEqual(len(bodies), 1)

    def test_tags_begin_with_the_version(self) -> None:
        for path, _, operation in self.operations():
            version = path.split("/")[2] if path.startswith("/api/v") else ""
            self.assertTrue(operation["tags"][0].startswith(version))

    def test_every_example_fits_its_schema(self) -> None:
        checked = 0
        for name, definition in self.document["definitions"].items():
            if "example" in definition:
                with self.subTest(definition=name):
                    Draft4Validator(self.resolve(definition)).validate(definition["example"])
                    checked += 1
        self.assertGreater(checked, 30)

    def test_every_body_has_an_example(self) -> None:
        for path, method, operation in self.operations():
            for given in operation["parameters"]:
                if given["in"] == "body":
                    with self.subTest(path=path, method=method):
                        name = given["schema"]["$ref"].rpartition("/")[2]
                        self.assertIn("example", self.document["definitions"][name])

    def test_patterns_are_not_python_specific(self) -> None:
        # JSON Schema has JavaScript's patterns: `\A` is an A there, and `\w` has no umlauts.
        self.assertEqual(self.pythons(self.document["definitions"]), [])
        # The check can fail: without the inspector that omits them, a username has one.
        inspectors = mock.patch.object(OperationDocs, "field_inspectors", OperationDocs.field_inspectors[1:])
        with inspectors, mock.patch.dict(schema._documents, clear=True):
            told = self.client.get("/swagger.json").json()
        self.assertEqual({name for name, _ in self.pythons(told["definitions"])}, {"username"})

    def pythons(self, definitions: dict[str, Any]) -> list[tuple[str, str]]:
        """Return the fields whose pattern has a class or an anchor of Python's, with the pattern."""
        return [
            (name, field["pattern"])
            for definition in definitions.values()
            for name, field in definition["properties"].items()
            if re.search(r"\\[a-zA-Z]", field.get("pattern", ""))
        ]

    def test_choices_are_listed_as_enum(self) -> None:
        listed = {
            (path, given["name"]): given["enum"]
            for path, _, operation in self.operations()
            for given in operation["parameters"]
            if "enum" in given
        }
        self.assertEqual(listed["/api/v1/books/", "ordering"], list(ORDERS))
        self.assertEqual(listed["/api/v1/books/", "book_type"], [1, 2, 3])
        self.assertEqual(listed["/api/v2/book_rentals/", "status"], [1, 2])
        self.assertEqual(listed["/api/v3/holds/", "status"], list(Hold.Status))
        self.assertEqual(listed["/api/v3/copies/", "status"], list(Copy.Status))

    def test_only_public_operations_need_no_token(self) -> None:
        for path, _, operation in self.operations():
            if operation.get("security") == []:
                self.assertTrue(
                    "/books/" in path or "/price_lists/" in path or "auth" in path or "api-token" in path,
                    path,
                )
        self.assertIn("JWT", self.document["securityDefinitions"])

    def test_trailing_slash_is_optional(self) -> None:
        for path in ("/swagger", "/swagger/", "/redoc", "/redoc/"):
            answer = self.client.get(path, headers={"accept": "text/html"})
            self.assertEqual((answer.status_code, answer["Content-Type"]), (200, "text/html; charset=utf-8"))


class ResponseSchemaTest(Document, CastTestCase):
    def test_uploading_a_cover_may_be_refused_for_a_while(self) -> None:
        for version in ("v1", "v2", "v3"):
            books, book = (self.document["paths"][f"/api/{version}/books/{end}"] for end in ("", "{id}/"))
            for operation in (books["post"], book["put"], book["patch"]):
                self.assertIn("429", operation["responses"])
            for operation in (books["get"], book["get"], book["delete"]):
                self.assertNotIn("429", operation["responses"])

    def test_real_responses_fit_their_schemas(self) -> None:
        book = add_book(name="Emma", author="Jane Austen", kind=3, copies=2)
        desk = self.api(self.carol)
        sent = {"book": book.pk, "user": self.alice.pk}
        ref = desk.post("/api/v3/book_rentals/", sent).json()["ref"]
        desk.post(f"/api/v3/book_rentals/{ref}/return")
        desk.post("/api/v3/payments/", {"user": self.alice.pk, "amount": "1.00", "method": "cash"})
        desk.post("/api/v3/book_rentals/", sent)
        desk.post("/api/v3/book_rentals/", {"book": book.pk, "user": self.bob.pk})
        desk.post("/api/v3/holds/", {"book": book.pk})
        values = {"id": book.pk, "ref": ref, "user_id": self.alice.pk}
        checked = 0
        for path, method, operation in self.operations():
            if method != "get" or path.startswith("/api/rest-auth"):
                continue
            ids = values | {"id": self._id(path, desk)} if "{id}" in path else values
            query = {"days": 3} if path.endswith("quote/") else {}
            with self.subTest(path=path):
                answer = desk.get(path.format(**ids), query)
                self.assertEqual(answer.status_code, 200)
                schema = self.resolve(operation["responses"]["200"]["schema"])
                Draft4Validator(schema).validate(json.loads(answer.content))
                checked += 1
        self.assertGreater(checked, 24)

    def _id(self, path: str, desk: Any) -> int:
        """Return the id of some object in the list that `path` belongs to."""
        return desk.get(f"/api/v3/{path.split('/')[3]}/").json()["results"][0]["id"]
