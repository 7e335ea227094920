"""The WSGI application, which gunicorn loads."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.urls import resolve

from lori_assignment.db.timeouts import set_timeouts
from lori_assignment.http.charset import refuse_other_charsets
from lori_assignment.http.host import require_host

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")

try:
    set_timeouts(connections.settings["default"])
    application = require_host(refuse_other_charsets(get_wsgi_application()))
    # Import every view now, once, before the workers are forked. Otherwise each worker would do so on its
    # first request, which would take seconds although the server reports that it is ready.
    resolve("/")
except ImproperlyConfigured as problem:
    sys.exit(f"Lori Books cannot start: {problem}")
