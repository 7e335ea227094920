#!/bin/sh
# How the shop starts: `serve` (the default; words after it are gunicorn's), `migrate`, or any manage.py command.
set -eu
cd -- "$(dirname -- "$0")"

case "${1:-serve}" in
    serve)
        # Large pieces of memory go back to the system when they are free, as the 19 MB that a password's
        # hash takes: else the first of them raises the limit, and all that come after stay with the worker.
        export MALLOC_MMAP_THRESHOLD_=262144 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_ARENA_MAX=1
        shift $(($# > 0))
        exec gunicorn --config lori_assignment/server/gunicorn_conf.py "$@" lori_assignment.wsgi
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
