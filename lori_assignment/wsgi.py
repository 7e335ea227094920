"""The WSGI application, as gunicorn loads it."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.urls import resolve

from lori_assignment.charset import refuse_other_charsets
from lori_assignment.database.limits import set_timeouts

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lori_assignment.settings")

try:
    set_timeouts(connections.settings["default"])
    application = refuse_other_charsets(get_wsgi_application())
    # Loads every view now, once, before the workers are forked. Else each worker does when its first request
    # comes, and whoever sent that to a shop that says it is ready waits for seconds.
    resolve("/")
except ImproperlyConfigured as problem:
    sys.exit(f"Lori Books cannot start: {problem}")
