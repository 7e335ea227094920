"""Starts the shop as in a container, sends it requests, and prints the results as JSON.

The application's Python runs it in exactly the environment of a pod, with the two secrets that a pod would
fetch. The settings are read unchanged; only then is the database replaced by the SQLite file that is the
first argument. The other arguments are the requests, in pairs: HOST PATH.
"""

# ruff: noqa: INP001  # Run by the tests beside it.
from __future__ import annotations

import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

ROOT = Path(__file__).resolve().parents[2]


class Recorder(type(os.environ)):  # type: ignore[misc]  # It has no public name.
    """An environment that records the variables that are read."""

    asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


def main() -> None:
    os.environ.__class__ = Recorder
    os.environ["DJANGO_SETTINGS_MODULE"] = "lori_assignment.settings"
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)

    # As `gunicorn --config` reads it.
    server = runpy.run_path(str(ROOT / "lori_assignment" / "server" / "gunicorn_conf.py"))

    import django
    import environ
    from django.conf import settings
    from django.core.management import call_command, get_commands

    # A working copy's .env must not supply what a pod lacks.
    environ.Env.read_env = lambda *_, **__: None
    settings.DATABASES["default"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}
    # Error pages name static files, which the image has collected; here the finders serve them.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    django.setup()
    said: dict[str, Any] = {
        "commands": sorted(get_commands()),
        "read": sorted(Recorder.asked),
        # Parsed from the messages of settings.py.
        "required": sorted(
            set(re.findall(r'"([A-Z_]+) is not set', (ROOT / "lori_assignment" / "settings.py").read_text()))
        ),
        "graceful_timeout": server["graceful_timeout"],
        "keepalive": server["keepalive"],
    }
    call_command("check", deploy=True, fail_level="WARNING", verbosity=0)
    call_command("migrate", verbosity=0, interactive=False)
    said["answers"] = [[*pair, *ask(*pair)] for pair in zip(sys.argv[2::2], sys.argv[3::2], strict=True)]
    print(json.dumps(said))  # noqa: T201  # A script, which prints.


def ask(host: str, path: str) -> tuple[int, str]:
    """Return the status and the Location of a plain GET, as gunicorn passes it on."""
    from lori_assignment.wsgi import application

    request: dict[str, Any] = {"HTTP_HOST": host, "PATH_INFO": path, "REMOTE_ADDR": "10.0.9.9"}
    if path == "/":  # Members reach the load balancer over HTTPS.
        request["HTTP_X_FORWARDED_PROTO"] = "https"
    setup_testing_defaults(request)
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        answer.extend([int(status.split()[0]), dict(headers).get("Location", "")])

    for _ in application(request, start_response):
        pass
    return answer[0], answer[1]


main()
