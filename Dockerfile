# The image of the shop: `serve` (the default), `migrate`, or any manage.py command. The build needs only this
# folder and the Python package index. The container runs as user 10001 on a read-only root file system with a
# writable /tmp.
#
# The digest decides which base is pulled; the tag names it for readers. Dependabot updates both.
FROM python:3.11.16-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84 AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1


FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The packages of the shop are those above the line "# Tests."; without that line the build fails.
COPY requirements.txt constraints.txt ./
RUN grep -qx '# Tests\.' requirements.txt \
    && sed '/^# Tests\.$/,$d' requirements.txt >run.txt \
    && python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --requirement run.txt

WORKDIR /app
COPY . .
RUN rm requirements.txt constraints.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash accounts books lori_assignment rentals
# Placeholders for the settings that production requires; they do not stay in the image.
RUN SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(60))')" \
    SITE_URL=http://localhost ALLOWED_HOSTS=localhost DATABASE_URL=postgres://nowhere/none EMAIL_URL=dummymail:// \
    STATIC_ROOT=/srv/static MEDIA_ROOT=/srv/media \
    python manage.py collectstatic --no-input --verbosity 0
# Remove what is not needed at run time: sources of static files, which have been collected; source maps, which
# collecting them needed; sources of translations and of compiled modules; the tests of packages, and their
# translations and locale data for languages that the shop does not use.
ARG LANGUAGES="en de"
WORKDIR /opt/venv/lib/python3.11/site-packages
RUN find /srv/static -name '*.map*' -delete \
    && find . -type d \( -name static -o -name tests \) -prune -exec rm -r {} + \
    && find . -type f \( -name '*.po' -o -name '*.c' -o -name '*.pyx' \) -delete \
    && spoken="$(for code in $LANGUAGES; do printf '%s|' "$code"; done)" \
    && find . -regextype posix-extended -type f -path '*/locale/*.mo' \
        -not -regex ".*/locale/(${spoken%|})(_[^/]*)?/.*" -delete \
    && find babel/locale-data -regextype posix-extended -type f \
        -not -regex ".*/(${spoken}root)(_[^/]*)?\.dat" -not -name 'LICENSE*' -delete


FROM base
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lori Books" \
      org.opencontainers.image.description="The software that a book-rental shop runs on" \
      org.opencontainers.image.revision="$REVISION"

# Remove the base's pip: the shop installs nothing, and an attacker should not be able to.
RUN rm -rf /usr/local/lib/python3.11/site-packages/* /usr/local/lib/python3.11/ensurepip /usr/local/bin/pip* \
    && groupadd --gid 10001 lori \
    && useradd --uid 10001 --gid lori --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lori \
    # Covers, unless they are on S3. A volume that is mounted here gets this owner.
    && install --directory --owner lori --group lori /srv/media
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/static /srv/static
COPY --from=build /app /app

ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    STATIC_ROOT=/srv/static \
    MEDIA_ROOT=/srv/media
WORKDIR /app
# Numeric, so that Kubernetes can verify that it is not root.
USER 10001:10001
EXPOSE 8000
# For containers outside Kubernetes, which has its own probes.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', '8000')}/healthz\", timeout=4)"]
ENTRYPOINT ["/app/entrypoint.sh"]
CMD ["serve"]
