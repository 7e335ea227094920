#!/bin/sh
# How the shop starts: `serve` (the default), `migrate`, or any manage.py command.
set -eu
cd -- "$(dirname -- "$0")"

case "${1:-serve}" in
    serve)
        exec gunicorn --config lori_assignment/gunicorn_conf.py lori_assignment.wsgi
        ;;
    migrate)
        # Nothing to do is the usual case and the fast one. Whoever runs this starts the server only when
        # it has succeeded.
        exec python manage.py migrate --no-input --if-needed
        ;;
    *)
        exec python manage.py "$@"
        ;;
esac
