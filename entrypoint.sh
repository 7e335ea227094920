#!/bin/sh
# Starts the shop: `serve` (the default; passes its arguments to gunicorn), `migrate`, or any manage.py command.
set -eu
cd -- "$(dirname -- "$0")"

case "${1:-serve}" in
    serve)
        # Return large blocks of memory to the system when they are freed, such as the 19 MB for hashing a password.
        # By default the first such block raises glibc's thresholds, and workers keep all that follow.
        export MALLOC_MMAP_THRESHOLD_=262144 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_ARENA_MAX=1
        shift $(($# > 0))
        python -m lori_assignment.server.environment
        exec gunicorn --config lori_assignment/server/gunicorn_conf.py "$@" lori_assignment.wsgi
        ;;
    migrate)
        # Usually there is nothing to do, which --if-needed finds out quickly. The server must start only after
        # this has succeeded.
        exec python manage.py migrate --no-input --if-needed
        ;;
    *)
        exec python manage.py "$@"
        ;;
esac
