"""A line of the log is one record, has the id of its request, and contains no secret."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from types import SimpleNamespace
from typing import Any
from unittest import TestCase, mock
from urllib.parse import quote

from django.conf import settings
from django.db import IntegrityError
from django.test import Client, override_settings
from django.test import TestCase as DatabaseTestCase
from django.utils.module_loading import import_string
from django_guid import clear_guid
from django_guid.context import guid
from django_guid.log_filters import CorrelationId
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.workers.base import Worker

from lori_assignment.http import request_limits
from lori_assignment.observability.logs import (
    ClientErrorFilter,
    GunicornLogger,
    JSONFormatter,
    LineFormatter,
    redact,
)
from lori_assignment.server import gunicorn_conf
from lori_assignment.testing.cases import PASSWORD, create_users

SECRET = "Zm9yIG5vYm9keSdzIGV5ZXMgYnV0IGFsaWNlJ3M"
FORMS = {name: settings.LOGGING["formatters"][name] for name in ("line", "json")}


def formatted(form: str, said: str, *facts: Any, **more: Any) -> str:
    """Return the text of a record in one of the formats."""
    formatter = LineFormatter(FORMS["line"]["format"], style="{") if form == "line" else JSONFormatter()
    record = logging.makeLogRecord({"name": "shop", "msg": said, "args": facts, "levelname": "INFO"} | more)
    CorrelationId("request_id").filter(record)
    return formatter.format(record)


def failure(text: str) -> dict[str, Any]:
    try:
        raise ValueError(text)
    except ValueError:
        return {"exc_info": sys.exc_info()}


class RedactionTest(TestCase):
    def test_secret_urls_are_redacted(self) -> None:
        for path in ("/rentals/calendar/", "/user/password/reset/key/", "/user/confirm-email/"):
            for line in (f"GET {path}{SECRET} HTTP/1.1", f"Not Found: {path}{SECRET}/?x=1", path + SECRET):
                self.assertNotIn(SECRET, redact(line))
                self.assertIn(path, redact(line))
        self.assertEqual(redact("GET /books/7/ HTTP/1.1"), "GET /books/7/ HTTP/1.1")

    def test_tokens_and_addresses_are_redacted(self) -> None:
        # Put together here, so that no scanner takes it for a real secret.
        token = ".".join(["eyJ" + "hbGciOiJIUzI1NiJ9", "eyJ" + "qdGkiOiI2ZjMifQ", "q0Yx-_z"])
        for text, kept in (
            (f"Bearer {token} is no good", "Bearer … is no good"),
            ("{'alice.m+x@mail.example.org': (550, b'no such')}", "{'…@…': (550, b'no such')}"),
            ("Not Found: /user/alice%40example.org/x", "Not Found: /user/…@…/x"),
            ("Invalid request from ip=2001:db8::9: bad", "Invalid request from ip=… bad"),
            ("To: <alice@example.org>, bob@example.org", "To: <…@…>, …@…"),
        ):
            with self.subTest(text=text):
                self.assertEqual(redact(text), kept)

    def test_redaction_is_fast(self) -> None:
        began = time.process_time()
        for part in ("a", "eyJ", "a%40", "a@", "a@b.", ".", "DETAIL:", "/rentals/calendar/"):
            redact(part * 50_000)
        # A hundred times the usual time; a search from each character would take minutes.
        self.assertLess(time.process_time() - began, 10)

    def test_quoted_database_rows_are_redacted(self) -> None:
        refused = (
            'duplicate key value violates unique constraint "user_email"\n'
            "DETAIL:  Key (upper(email::text))=(ALICE) already exists.\n"
        )
        for form in FORMS:
            line = formatted(form, "Internal Server Error: %s", "/x", **failure(refused))
            self.assertIn("user_email", line)
            self.assertNotIn("ALICE", line)
        self.assertNotIn("Moss", redact("DETAIL:  Failing row contains (7, Alice Moss)."))
        self.assertNotIn("Moss", redact("LINE 1: INSERT INTO x VALUES ('Alice Moss'"))
        self.assertNotIn("Moss", redact('CONTEXT:  COPY accounts_user, line 3: "7 Alice Moss"'))


class FormatterTest(TestCase):
    FORGED = "a title\n2026-11-24 12:00:00,000 INFO shop forged\r\x1b[2K\x85\u2028end"

    def setUp(self) -> None:
        # Another test may have called the WSGI application and never closed the response.
        clear_guid()

    def test_message_stays_on_one_line(self) -> None:
        for form in FORMS:
            for line in (formatted(form, "Seen: %s", self.FORGED), formatted(form, self.FORGED)):
                with self.subTest(form=form, line=line):
                    self.assertEqual(len(line.splitlines()), 1)
                    self.assertTrue(line.isprintable())
                    self.assertIn("\\n2026", line)

    def test_traceback_lines_are_indented(self) -> None:
        line = formatted("line", "It failed.", **failure(self.FORGED))
        self.assertIn("ValueError: a title", line)
        first, *rest = line.splitlines()
        self.assertIn("INFO shop [None] It failed.", first)
        self.assertEqual([more for more in rest if not more.startswith("    ")], [])
        self.assertNotIn("\x1b", line)
        entry = json.loads(formatted("json", "It failed.", **failure(self.FORGED)))
        self.assertIn("ValueError: a title", entry["exc_info"])

    def test_tracebacks_are_redacted(self) -> None:
        for form in FORMS:
            path = f"/user/password/reset/key/{SECRET}/"
            line = formatted(form, "At %s", path, **failure(f"no view for {path}"))
            self.assertNotIn(SECRET, line)
            self.assertEqual(line.count("/user/password/reset/key/"), 2)

    def test_time_is_in_utc(self) -> None:
        said = formatted("line", "x", created=0.25, msecs=250.0)
        self.assertTrue(said.startswith("1970-01-01T00:00:00.250Z "), said)

    def test_json_has_only_known_fields(self) -> None:
        more = {"request": SimpleNamespace(path=SECRET, user="alice"), "status_code": 404, "email": "a@b.c"}
        entry = json.loads(formatted("json", "Not Found: %s", "/x", **more))
        self.assertEqual(entry.pop("time")[-6:], "+00:00")
        self.assertEqual(entry.pop("process"), os.getpid())
        self.assertEqual(
            entry, {"level": "INFO", "logger": "shop", "message": "Not Found: /x", "request_id": None}
        )


class GunicornLogTest(TestCase):
    """gunicorn's log, by LOG_FORMAT."""

    agent = "Some browser"

    @contextmanager
    def of_a_request(self, name: str) -> Iterator[None]:
        token = guid.set(name)
        try:
            yield
        finally:
            guid.reset(token)

    def log(self, form: str) -> tuple[GunicornLogger, io.StringIO, io.StringIO]:
        out, err = io.StringIO(), io.StringIO()
        stack = mock.patch.multiple(sys, stdout=out, stderr=err)
        stack.start()
        self.addCleanup(stack.stop)
        given = mock.patch.dict(os.environ, {"LOG_FORMAT": form})
        given.start()
        self.addCleanup(given.stop)
        config = Config()
        config.set("accesslog", "-")
        return GunicornLogger(config), out, err

    def asked(self, log: GunicornLogger, path: str, status: str = "200 OK", query: str = "") -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "RAW_URI": quote(path) + query,
            # As Django has replaced it.
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "203.0.113.9",
            "HTTP_USER_AGENT": self.agent,
            "HTTP_REFERER": "https://shop.example/home?search=her+book",
        }
        answer = SimpleNamespace(status=status, headers=[], sent=12)
        log.access(answer, SimpleNamespace(headers=[]), environ, timedelta(milliseconds=7))

    def test_both_logs_are_json_on_stdout(self) -> None:
        log, out, err = self.log("json")
        with self.of_a_request("the-name-of-it"):
            self.asked(log, f"/rentals/calendar/{SECRET}.ics", query="?token=much")
            self.asked(log, "/bücher\n/")
            log.error("Worker (pid:%s) was killed", 7)
        self.assertEqual(err.getvalue(), "")
        seen, odd, killed = map(json.loads, out.getvalue().splitlines())
        for entry in (seen, odd, killed):
            self.assertEqual(entry["request_id"], "the-name-of-it")
        facts = {
            "method": "GET",
            "path": "/rentals/calendar/…",
            "status": 200,
            "bytes": 12,
            "milliseconds": 7.0,
        }
        self.assertEqual({name: seen[name] for name in facts}, facts)
        self.assertEqual(seen["message"], "GET /rentals/calendar/… 200")
        self.assertEqual(odd["path"], "/bücher\n/")
        self.assertEqual((killed["level"], killed["logger"]), ("ERROR", "gunicorn.error"))
        for kept in (SECRET, "much", "203.0.113.9", "Some browser", "her+book"):
            self.assertNotIn(kept, out.getvalue())

    def test_unusual_paths_are_logged(self) -> None:
        for form in ("json", "line"):
            log, out, _ = self.log(form)
            for path in ("/Książki/", "/\U00051853/", "/\ufffd/", "/café/"):
                self.asked(log, path, "404 Not Found")
            self.assertEqual(len(out.getvalue().splitlines()), 4)

    def test_lines_contain_the_request_id(self) -> None:
        self.assertEqual(gunicorn_conf.logger_class, f"{GunicornLogger.__module__}.GunicornLogger")
        log, out, err = self.log("line")
        with self.of_a_request("the-name-of-it"):
            self.asked(log, "/home")
            log.error("Bad\nluck")
        self.assertRegex(out.getvalue(), r"\[the-name-of-it\] GET /home 200 12 bytes 7\.0 ms\n\Z")
        self.assertRegex(err.getvalue(), r"\[ERROR\] \[the-name-of-it\] Bad\\nluck\n\Z")

    def test_lines_contain_no_personal_data(self) -> None:
        log, out, _ = self.log("line")
        self.asked(log, f"/rentals/calendar/{SECRET}.ics", query="?token=much&name=Moss")
        self.assertIn("GET /rentals/calendar/… 200", out.getvalue())
        for kept in (SECRET, "much", "Moss", "203.0.113.9", "Some browser", "her+book"):
            self.assertNotIn(kept, out.getvalue())

    def test_malformed_request_is_one_warning(self) -> None:
        for form in FORMS:
            for name, raw in (
                ("InvalidHeader", b"GET / HTTP/1.1\r\nwanted\r\n\r\n"),
                ("InvalidHeaderName", b"GET / HTTP/1.1\r\nwan ted: 1\r\n\r\n"),
                ("InvalidHTTPVersion", b"GET / wanted HTTP/1.1\r\n\r\n"),
                ("InvalidRequestLine", b"wanted\r\n\r\n"),
            ):
                with self.subTest(form=form, name=name):
                    log, out, err = self.log(form)
                    worker = SimpleNamespace(log=log, cfg=log.cfg)
                    try:
                        next(RequestParser(log.cfg, iter([raw]), ("203.0.113.9", 4711)))
                    except ParseException as error:
                        Worker.handle_error(worker, None, mock.Mock(), ("203.0.113.9", 4711), error)
                    lines = (out.getvalue() + err.getvalue()).splitlines()
                    self.assertEqual(len(lines), 1, lines)
                    self.assertIn(f"Invalid request ({name})", lines[0])
                    self.assertIn("WARNING", lines[0])
                    self.assertNotRegex(lines[0], "want?|203.0.113.9")

    def test_lost_connection_is_one_warning(self) -> None:
        for error in (TimeoutError(110, "Connection timed out"), ConnectionAbortedError(103, "aborted")):
            log, _, err = self.log("line")
            try:
                raise error
            except OSError:
                log.exception("Socket error processing request.")
            self.assertEqual(len(err.getvalue().splitlines()), 1)
            self.assertIn(f"[WARNING] [None] A connection ended ({type(error).__name__})", err.getvalue())

    def test_other_error_has_its_traceback(self) -> None:
        log, _, err = self.log("line")
        try:
            raise OSError(5, "Input/output error")
        except OSError:
            log.exception("Socket error processing request.")
        self.assertIn("[ERROR] [None] Socket error processing request.", err.getvalue())
        self.assertIn("Traceback", err.getvalue())

    def test_other_warning_is_unchanged(self) -> None:
        log, _, err = self.log("line")
        log.warning("Worker (pid:%s) was sent %s!", 7, "SIGBUS")
        self.assertIn("Worker (pid:7) was sent SIGBUS!", err.getvalue())

    def test_path_and_agent_stay_on_one_line(self) -> None:
        forged = FormatterTest.FORGED
        self.agent = forged
        for form in FORMS:
            with self.subTest(form=form):
                log, out, err = self.log(form)
                self.asked(log, f"/{forged}/")
                log.warning("Invalid request: %s", forged)
                for stream in (out, err):
                    self.assertTrue(all(map(str.isprintable, stream.getvalue().splitlines())))
                self.assertEqual(len((out.getvalue() + err.getvalue()).splitlines()), 2)

    def test_stock_formatter_would_break_lines(self) -> None:
        log, out, _ = self.log("line")
        for handler in log.access_log.handlers:
            handler.setFormatter(logging.Formatter("%(message)s"))
        self.asked(log, f"/{FormatterTest.FORGED}/")
        self.assertGreater(len(out.getvalue().splitlines()), 1)

    def test_successful_health_checks_are_not_logged(self) -> None:
        log, out, _ = self.log("json")
        for path in ("/healthz", "/readyz/", "/metrics"):
            self.asked(log, path)
        self.assertEqual(out.getvalue(), "")
        self.asked(log, "/readyz", "503 Service Unavailable")
        self.assertEqual(json.loads(out.getvalue())["status"], 503)


class DjangoLogTest(DatabaseTestCase):
    def test_missing_path_is_logged_redacted(self) -> None:
        handler = settings.LOGGING["handlers"]["log"]
        self.assertEqual(
            (handler["formatter"], handler["filters"]), ("line", ["with_request_id", "client_errors"])
        )
        self.assertEqual(FORMS["line"]["()"], f"{LineFormatter.__module__}.LineFormatter")
        self.assertEqual(FORMS["json"]["()"], f"{JSONFormatter.__module__}.JSONFormatter")
        for formatter in (LineFormatter(), JSONFormatter()):
            stream = io.StringIO()
            handler = logging.StreamHandler(stream)
            handler.setFormatter(formatter)
            handler.addFilter(CorrelationId("request_id"))
            with self.told(handler):
                Client().get(f"/rentals/calendar/{SECRET}.ics")
            self.assertIn("Not Found: /rentals/calendar/", stream.getvalue())
            self.assertNotIn(SECRET, stream.getvalue())

    def test_refused_request_is_one_warning(self) -> None:
        """Django logs these as errors, or with a traceback, and quotes what was sent."""
        form = {"content_type": "multipart/form-data"}
        parts = "multipart/form-data; boundary=x"
        gone = mock.patch("django.core.handlers.wsgi.LimitedStream.read", side_effect=OSError("wanted"))
        large = mock.patch.object(request_limits, "max_body_bytes", lambda *facts: 10)
        many = override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=1)
        for status, said, fault, call in (
            (
                400,
                "DisallowedHost: /home",
                nullcontext(),
                lambda: self.client.get("/home", HTTP_HOST="wanted"),
            ),
            (413, "BodyTooLarge: /user/login/", large, lambda: self.sent("/user/login/", **form)),
            (413, "BodyTooLarge: /api/v3/books/", large, lambda: self.sent("/api/v3/books/", **form)),
            (400, "Bad Request: /user/login/", gone, lambda: self.sent(content_type=parts)),
            (400, "Bad Request: /api-token-auth/", gone, lambda: self.sent("/api-token-auth/")),
            (400, "TooManyFieldsSent: /user/login/", many, lambda: self.sent("/user/login/")),
            (400, "(Unable to parse request body): /user/login/", nullcontext(), lambda: self.sent(**form)),
        ):
            with self.subTest(said=said, status=status), fault:
                records = self.records(call, status=status)
                self.assertEqual(len(records), 1, records)
                self.assertIn(said, records[0])
                self.assertIn(" WARNING django.", records[0])
                self.assertNotIn("wanted", records[0])

    def sent(
        self, path: str = "/user/login/", content_type: str = "application/x-www-form-urlencoded"
    ) -> Any:
        return self.client.generic("POST", path, b"login=wanted&password=wanted", content_type=content_type)

    def records(self, call: Callable[[], Any], *, status: int) -> list[str]:
        """Return the lines that the shop's own handler logs, except those of the security log."""
        self.client.raise_request_exception = False
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(LineFormatter(FORMS["line"]["format"], style="{"))
        for name in settings.LOGGING["handlers"]["log"]["filters"]:
            facts = dict(settings.LOGGING["filters"][name])
            handler.addFilter(import_string(facts.pop("()"))(**facts))
        with self.told(handler), self.told(handler, "django.security"):
            self.assertEqual(call().status_code, status)
        return stream.getvalue().splitlines()

    def test_demoted_error_keeps_to_the_level(self) -> None:
        record = logging.makeLogRecord(
            {"name": "django.security.X", "levelno": logging.ERROR, "status_code": 400}
        )
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        root.setLevel(logging.ERROR)
        self.assertFalse(ClientErrorFilter().filter(record))

    def test_error_of_the_shop_keeps_its_traceback(self) -> None:
        facts = {"name": "django.request", "levelno": logging.ERROR, "status_code": 500, **failure("bug")}
        record = logging.makeLogRecord(facts)
        self.assertTrue(ClientErrorFilter().filter(record))
        self.assertEqual((record.levelno, record.exc_info), (logging.ERROR, facts["exc_info"]))

    def test_member_actions_log_no_personal_data(self) -> None:
        """Check the log while a member signs up, mistypes a password, signs in and meets errors."""
        create_users(self)
        for formatter in (LineFormatter(FORMS["line"]["format"], style="{"), JSONFormatter()):
            said = self.all_that_is_logged(formatter)
            # Refusals, failures and unknown paths were really logged.
            for words in ("couldn't be sent", "Internal Server Error", "Not Found"):
                self.assertIn(words, said)
            persons = ("alice", "Moss", "example.org", "203.0.113.9", "5 High")
            for kept in (*persons, "eyJ", PASSWORD, "wrong-one"):
                with self.subTest(formatter=formatter, kept=kept):
                    self.assertNotIn(kept, said)

    def test_without_redaction_addresses_are_logged(self) -> None:
        create_users(self)
        with mock.patch("lori_assignment.observability.logs.redact", lambda text: text):
            self.assertIn("alice@example.org", self.all_that_is_logged(JSONFormatter()))

    def all_that_is_logged(self, formatter: logging.Formatter) -> str:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(CorrelationId("request_id"))
        browser = Client(raise_request_exception=False, REMOTE_ADDR="203.0.113.9")
        refusal = IntegrityError("twice\nDETAIL:  Key (name)=(Alice Moss) already exists.")
        with self.told(handler, "", logging.INFO), self.told(handler, "django.request", logging.INFO):
            for password in ("wrong-one", PASSWORD):
                pair = browser.post(
                    "/api-token-auth/",
                    {"username": "alice@example.org", "password": password},
                    "application/json",
                )
            headers = {"authorization": f"JWT {pair.json()['token']}"}
            me = f"/api/v3/accounts/{self.alice.pk}/"
            profile = {"name": "Alice Moss", "address": "5 High Street"}
            browser.patch(me, profile, "application/json", headers=headers)
            with mock.patch("accounts.api.views.AccountViewSet.get_object", side_effect=refusal):
                browser.patch(me, profile, "application/json", headers=headers)
            browser.get("/home?search=Alice+Moss&token=" + pair.json()["token"])
            browser.get("/user/alice@example.org/")
            browser.get("/not/" + pair.json()["token"])
            with mock.patch(
                "django.core.mail.EmailMessage.send",
                side_effect=SMTPRecipientsRefused({"alice@example.org": (550, b"no such member")}),
            ):
                browser.post("/user/password/reset/", {"email": "alice@example.org"})
        return stream.getvalue()

    @contextmanager
    def told(
        self, handler: logging.Handler, name: str = "django.request", least: int = logging.WARNING
    ) -> Iterator[None]:
        logger = logging.getLogger(name)
        level, logger.propagate = logger.level, False
        logger.setLevel(least)
        handlers, logger.handlers = logger.handlers, [handler]
        try:
            yield
        finally:
            logger.handlers = handlers
            logger.setLevel(level)
            logger.propagate = True
