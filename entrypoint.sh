#!/bin/sh
# How the shop starts: `serve` (the default), `migrate`, or any manage.py command.
set -eu
cd "$(dirname "$0")"

case "${1:-serve}" in
    serve)
        exec gunicorn --config lori_assignment/gunicorn_conf.py lori_assignment.wsgi
        ;;
    migrate)
        # Nothing to do is the usual case and the fast one.
        python manage.py migrate --check >/dev/null 2>&1 || exec python manage.py migrate --no-input
        ;;
    *)
        exec python manage.py "$@"
        ;;
esac
