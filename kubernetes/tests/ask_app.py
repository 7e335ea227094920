"""Start the shop as a container of it would, ask it, and print what it said as JSON.

Run by the application's Python in exactly the environment of a pod, and the two secrets that a pod would
fetch. Its settings are read as they are; only then is the database swapped for the SQLite file that is the
first argument. The others are what to ask, in pairs: HOST PATH.
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
    """An environment that knows what it was asked for."""

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

    # A working copy's .env must not answer for what a pod is not given.
    environ.Env.read_env = lambda *_, **__: None
    settings.DATABASES["default"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}
    # The image has collected the static files, which an error page names; here they are found where they lie.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    django.setup()
    said: dict[str, Any] = {
        "commands": sorted(get_commands()),
        "read": sorted(Recorder.asked),
        # In the words of its refusals.
        "required": sorted(
            set(re.findall(r'"([A-Z_]+) is not set', (ROOT / "lori_assignment" / "settings.py").read_text()))
        ),
        "graceful_timeout": server["graceful_timeout"],
        "keepalive": server["keepalive"],
    }
    call_command("check", deploy=True, fail_level="WARNING", verbosity=0)
    call_command("migrate", verbosity=0, interactive=False)
    said["answers"] = [[*pair, *ask(*pair)] for pair in zip(sys.argv[2::2], sys.argv[3::2], strict=True)]
    print(json.dumps(said))  # noqa: T201  # This is what it is for.


def ask(host: str, path: str) -> tuple[int, str]:
    """The status and the Location that the shop answers to a plain GET, as gunicorn hands it over."""
    from lori_assignment.wsgi import application

    request: dict[str, Any] = {"HTTP_HOST": host, "PATH_INFO": path, "REMOTE_ADDR": "10.0.9.9"}
    if path == "/":  # A member's request came by https to the load balancer, which says so.
        request["HTTP_X_FORWARDED_PROTO"] = "https"
    setup_testing_defaults(request)
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        answer.extend([int(status.split()[0]), dict(headers).get("Location", "")])

    for _ in application(request, start_response):
        pass
    return answer[0], answer[1]


main()
