"""A line of the log is one record, tells which request it is of, and no secret."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import TestCase, mock
from urllib.parse import quote

from django.conf import settings
from django.test import Client
from django.test import TestCase as DatabaseTestCase
from gunicorn.config import Config

from lori_assignment import gunicorn_conf, request_ids
from lori_assignment.logs import AccessLog, Json, Line, without_secrets
from lori_assignment.request_ids import WithRequestId

SECRET = "Zm9yIG5vYm9keSdzIGV5ZXMgYnV0IGFsaWNlJ3M"
FORMS = {name: settings.LOGGING["formatters"][name] for name in ("line", "json")}


def written(form: str, said: str, *facts: Any, **more: Any) -> str:
    """What stands in a log of that form."""
    formatter = Line(FORMS["line"]["format"], style="{") if form == "line" else Json()
    record = logging.makeLogRecord({"name": "shop", "msg": said, "args": facts, "levelname": "INFO"} | more)
    WithRequestId().filter(record)
    return formatter.format(record)


def failure(text: str) -> dict[str, Any]:
    try:
        raise ValueError(text)
    except ValueError:
        return {"exc_info": sys.exc_info()}


class WithoutSecretsTest(TestCase):
    def test_addresses_that_open_something_lose_the_part_that_does(self) -> None:
        for path in ("/rentals/calendar/", "/user/password/reset/key/", "/user/confirm-email/"):
            for line in (f"GET {path}{SECRET} HTTP/1.1", f"Not Found: {path}{SECRET}/?x=1", path + SECRET):
                self.assertNotIn(SECRET, without_secrets(line))
                self.assertIn(path, without_secrets(line))
        self.assertEqual(without_secrets("GET /books/7/ HTTP/1.1"), "GET /books/7/ HTTP/1.1")

    def test_the_log_of_requests_names_neither_the_address_nor_where_one_came_from(self) -> None:
        self.assertEqual(gunicorn_conf.logger_class, f"{AccessLog.__module__}.AccessLog")
        path = f"/rentals/calendar/{SECRET}.ics"
        environ = {
            "REQUEST_METHOD": "GET",
            "RAW_URI": path,
            "PATH_INFO": path,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_REFERER": f"https://shop.example{path}",
        }
        answer, request = SimpleNamespace(status="200 OK", headers=[]), SimpleNamespace(headers=[])
        atoms = AccessLog(Config()).atoms(answer, request, environ, timedelta())
        line = Config().access_log_format % AccessLog(Config()).atoms_wrapper_class(atoms)
        self.assertIn("GET /rentals/calendar/… HTTP/1.1", line)
        self.assertNotIn(SECRET, line)


class OneLineTest(TestCase):
    FORGED = "a title\n2026-11-24 12:00:00,000 INFO shop forged\r\x1b[2K\x85\u2028end"

    def setUp(self) -> None:
        # Another test may have asked the WSGI application and never closed its answer.
        request_ids._forget()

    def test_nothing_that_is_logged_makes_a_line_of_its_own(self) -> None:
        for form in FORMS:
            for line in (written(form, "Seen: %s", self.FORGED), written(form, self.FORGED)):
                with self.subTest(form=form, line=line):
                    self.assertEqual(len(line.splitlines()), 1)
                    self.assertTrue(line.isprintable())
                    self.assertIn("\\n2026", line)

    def test_a_traceback_looks_like_no_record(self) -> None:
        line = written("line", "It failed.", **failure(self.FORGED))
        self.assertIn("ValueError: a title", line)
        first, *rest = line.splitlines()
        self.assertIn("INFO shop [-] It failed.", first)
        self.assertEqual([more for more in rest if not more.startswith("    ")], [])
        self.assertNotIn("\x1b", line)
        entry = json.loads(written("json", "It failed.", **failure(self.FORGED)))
        self.assertIn("ValueError: a title", entry["exc_info"])

    def test_secrets_are_left_out_of_tracebacks_too(self) -> None:
        for form in FORMS:
            path = f"/user/password/reset/key/{SECRET}/"
            line = written(form, "At %s", path, **failure(f"no view for {path}"))
            self.assertNotIn(SECRET, line)
            self.assertEqual(line.count("/user/password/reset/key/"), 2)

    def test_json_names_the_request_and_nothing_that_hangs_on_a_record(self) -> None:
        more = {"request": SimpleNamespace(path=SECRET, user="alice"), "status_code": 404, "email": "a@b.c"}
        entry = json.loads(written("json", "Not Found: %s", "/x", **more))
        self.assertEqual(entry.pop("time")[-6:], "+00:00")
        self.assertEqual(entry.pop("process"), os.getpid())
        self.assertEqual(
            entry, {"level": "INFO", "logger": "shop", "message": "Not Found: /x", "request_id": "-"}
        )


class ServersLogTest(TestCase):
    """gunicorn's log, by LOG_FORMAT."""

    def log(self, form: str) -> tuple[AccessLog, io.StringIO, io.StringIO]:
        out, err = io.StringIO(), io.StringIO()
        stack = mock.patch.multiple(sys, stdout=out, stderr=err)
        stack.start()
        self.addCleanup(stack.stop)
        given = mock.patch.dict(os.environ, {"LOG_FORMAT": form})
        given.start()
        self.addCleanup(given.stop)
        config = Config()
        config.set("accesslog", "-")
        return AccessLog(config), out, err

    def asked(self, log: AccessLog, path: str, status: str = "200 OK", query: str = "") -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "RAW_URI": quote(path) + query,
            # As Django leaves it there.
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "203.0.113.9",
            "HTTP_USER_AGENT": "Some browser",
            "HTTP_REFERER": "https://shop.example/home?search=her+book",
        }
        answer = SimpleNamespace(status=status, headers=[], sent=12)
        log.access(answer, SimpleNamespace(headers=[]), environ, timedelta(milliseconds=7))

    def test_both_logs_are_json_on_standard_output(self) -> None:
        log, out, err = self.log("json")
        with mock.patch.object(request_ids, "request_id", return_value="the-name-of-it"):
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

    def test_whatever_an_address_is_made_of_it_is_logged(self) -> None:
        for form in ("json", "line"):
            log, out, _ = self.log(form)
            for path in ("/Książki/", "/\U00051853/", "/\ufffd/", "/café/"):
                self.asked(log, path, "404 Not Found")
            self.assertEqual(len(out.getvalue().splitlines()), 4)

    def test_lines_tell_the_request_too(self) -> None:
        log, out, err = self.log("line")
        with mock.patch.object(request_ids, "request_id", return_value="the-name-of-it"):
            self.asked(log, "/home")
            log.error("Bad\nluck")
        self.assertRegex(out.getvalue(), r'"GET /home HTTP/1.1" 200 .* the-name-of-it\n\Z')
        self.assertRegex(err.getvalue(), r"\[ERROR\] \[the-name-of-it\] Bad\\nluck\n\Z")

    def test_health_is_quiet_as_long_as_all_is_well(self) -> None:
        log, out, _ = self.log("json")
        for path in ("/healthz", "/readyz/", "/metrics"):
            self.asked(log, path)
        self.assertEqual(out.getvalue(), "")
        self.asked(log, "/readyz", "503 Service Unavailable")
        self.assertEqual(json.loads(out.getvalue())["status"], 503)


class ShopsLogTest(DatabaseTestCase):
    def test_an_address_that_is_not_found_is_named_without_its_secret(self) -> None:
        handler = settings.LOGGING["handlers"]["log"]
        self.assertEqual((handler["formatter"], handler["filters"]), ("line", ["with_request_id"]))
        self.assertEqual(FORMS["line"]["()"], f"{Line.__module__}.Line")
        self.assertEqual(FORMS["json"]["()"], f"{Json.__module__}.Json")
        for formatter in (Line(), Json()):
            stream = io.StringIO()
            handler = logging.StreamHandler(stream)
            handler.setFormatter(formatter)
            handler.addFilter(WithRequestId())
            with self.told(handler):
                Client().get(f"/rentals/calendar/{SECRET}.ics")
            self.assertIn("Not Found: /rentals/calendar/", stream.getvalue())
            self.assertNotIn(SECRET, stream.getvalue())

    @contextmanager
    def told(self, handler: logging.Handler) -> Iterator[None]:
        logger = logging.getLogger("django.request")
        level, logger.propagate = logger.level, False
        logger.setLevel(logging.WARNING)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = True
