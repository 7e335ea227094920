"""Runs the shop against a stand-in for AWS; `checks/aws-check` starts it with a PostgreSQL server."""

# ruff: noqa: INP001, T201  # A script, which prints.
from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psycopg2

ROOT = Path(__file__).resolve().parent.parent
REGION = "eu-central-1"
ROLE = "shop_signs_in"
BUCKET = "covers-of-the-shop"
FROM = "no-reply@shop.example"
HOST = "shop.example"

# Run in a separate process: saves a book with a cover and sends a mail.
WORK = """
from io import BytesIO
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.mail import send_mail
from PIL import Image
from books.covers import clean_cover
from books.models import Book
picture = BytesIO()
Image.new("RGB", (60, 90), "red").save(picture, "PNG")
book = Book(name="Dune", cover=clean_cover(ContentFile(picture.getvalue(), "dune.png")))
book.save()
send_mail("Your book — it is here", "Grüße", settings.DEFAULT_FROM_EMAIL, ["alice@example.org"])
try:
    book.cover.storage.open("covers/none.webp")
except FileNotFoundError:
    print(book.cover.url)
"""
# A page that queries the database but needs no static files, whose collection would take longest.
CATALOGUE = "/api/v3/books/"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def check(true: Any, sentence: str) -> None:
    if not true:
        sys.exit(f"aws-check: NOT TRUE: {sentence}")
    print(f"  {sentence}", flush=True)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"aws-check: {process.args} has stopped.")
        with socket.socket() as tried:
            tried.settimeout(1)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"aws-check: {process.args} does not answer.")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Database:
    """The PostgreSQL server, accessed as superuser. The shop uses a role with a password."""

    def __init__(self, address: str) -> None:
        self.at = urlsplit(address)
        if self.at.hostname != "127.0.0.1" or self.at.username != "lori":
            sys.exit("aws-check: this changes who may sign in; it wants the server of checks/with-postgres.")
        self.url = f"postgres://127.0.0.1:{self.at.port}{self.at.path}"
        self.connection = psycopg2.connect(address)
        self.connection.autocommit = True
        self.run(f"CREATE ROLE {ROLE} LOGIN")
        self.run(f"ALTER DATABASE {self.at.path[1:]} OWNER TO {ROLE}")
        self.run(f"ALTER SCHEMA public OWNER TO {ROLE}")
        # So far the server trusts every local user; from now on only its superuser.
        [(rules,)] = self.run("SHOW hba_file")
        lines = [
            "local all lori trust",
            "host all lori 127.0.0.1/32 trust",
            "host all all 127.0.0.1/32 scram-sha-256",
        ]
        self.run(f"COPY (SELECT unnest(%s)) TO '{rules}'", lines)
        self.run("SELECT pg_reload_conf()")

    def run(self, statement: str, *facts: Any) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, facts)
            return cursor.fetchall() if cursor.description else []

    def set_password(self, password: str) -> None:
        self.run(f"ALTER ROLE {ROLE} PASSWORD %s", password)

    def hang_up(self) -> None:
        """Close all connections of the shop, as a failover or their maximum age does."""
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", ROLE)


class Shop:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, host: str = HOST, **headers: str) -> tuple[int, bytes, Any]:
        """Send a request as the load balancer forwards it."""
        given = {"Host": host, "X-Forwarded-Proto": "https"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=given)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  # nosec B310  # Our own server.
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read(), refused.headers

    def ready(self) -> tuple[int, dict[str, str]]:
        """Request /readyz as the load balancer does: by the pod's address, over HTTP.

        Waits first, because the shop caches the result for a second.
        """
        time.sleep(1.1)
        status, body, _ = self.get("/readyz", host="10.0.47.11:8000", X_Forwarded_Proto="http")
        return status, json.loads(body)["checks"]


def main(moto: str) -> None:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lori-aws-")))
        database = Database(os.environ["DATABASE_URL"])

        keys = {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        port = free_port()
        log = stack.enter_context((place / "moto.log").open("wb"))
        stand_in = subprocess.Popen(  # noqa: S603  # Our own tools.
            [moto, "-H", "127.0.0.1", "-p", str(port)],
            env={"PATH": os.environ["PATH"], "HOME": str(place)} | keys,
            stdout=log,
            stderr=log,
        )
        stack.callback(stop, stand_in)
        wait_for(port, stand_in)
        os.environ |= keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": REGION}

        vault: Any = boto3.client("secretsmanager")
        passwords = [secrets.token_urlsafe(20) for _ in range(4)]
        token = secrets.token_urlsafe(40)
        held = {"username": ROLE, "password": passwords[0]}
        login = vault.create_secret(Name="database", SecretString=json.dumps(held))["ARN"]
        held = {"SECRET_KEY": secrets.token_urlsafe(60), "METRICS_TOKEN": token}
        application = vault.create_secret(Name="application", SecretString=json.dumps(held))["ARN"]
        bucket: Any = boto3.client("s3")
        bucket.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        post: Any = boto3.client("sesv2")
        post.create_email_identity(EmailIdentity=FROM)

        def sent() -> float:
            return float(boto3.client("ses").get_send_quota()["SentLast24Hours"])

        def rotate(password: str, *, in_secret: bool = True) -> None:
            database.set_password(password)
            if in_secret:
                tell(password)

        def tell(password: str) -> None:
            vault.put_secret_value(
                SecretId=login, SecretString=json.dumps({"username": ROLE, "password": password})
            )

        database.set_password(passwords[0])
        shop = Shop(free_port())
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(place),
            "SITE_URL": f"https://{HOST}",
            "ALLOWED_HOSTS": HOST,
            "TRUSTED_PROXIES": "1",
            "DATABASE_URL": database.url,
            "DATABASE_SECRET_ARN": login,
            "APP_SECRET_ARN": application,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "MEDIA_BUCKET": BUCKET,
            "EMAIL_URL": f"ses://{REGION}",
            "DEFAULT_FROM_EMAIL": f"Lori Books <{FROM}>",
            "LOG_FORMAT": "json",
            "STATIC_ROOT": str(place / "static"),
            "BIND": "127.0.0.1",
            "PORT": str(shop.port),
            "TMPDIR": str(place),
            "DEBUG": "off",
            **keys,
        }

        def run(*words: str) -> str:
            done = subprocess.run(  # noqa: S603  # Our own commands.
                words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"aws-check: {words[:3]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
            return done.stdout

        run("./entrypoint.sh", "migrate")
        check(True, "The database was migrated with the password of the secret.")

        told = place / "shop.log"
        server = subprocess.Popen(
            ["./entrypoint.sh", "serve"],
            cwd=ROOT,
            env=environment,
            stdout=stack.enter_context(told.open("wb")),
            stderr=subprocess.STDOUT,
        )
        stack.callback(lambda: server.poll() is None and stop(server))
        wait_for(shop.port, server)
        good = {"database": "ok", "migrations": "ok", "temporary_files": "ok"}
        check(shop.ready() == (200, good), "The shop is ready, by a pod's address and over http.")
        check(shop.get(CATALOGUE)[0] == 200, "The catalogue answers.")

        rotate(passwords[1])
        check(shop.get(CATALOGUE)[0] == 200, "After a rotation, connections that are open live on.")
        database.hang_up()
        check(shop.ready() == (200, good), "New ones are made with the new password: the shop stays ready.")
        statuses = {shop.get(CATALOGUE)[0] for _ in range(12)}
        check(statuses == {200}, "No member notices, in no worker.")

        rotate(passwords[2], in_secret=False)
        database.hang_up()
        status, checks = shop.ready()
        check(
            (status, checks["database"]) == (503, "failed"),
            "With a password that the secret does not know, the shop is not ready.",
        )
        check(shop.get("/healthz")[0] == 200, "It is alive all the same.")
        tell(passwords[2])
        check(shop.ready() == (200, good), "As soon as the secret has it, the shop is ready.")

        check(sent() == 0, "No mail has gone out by now.")
        url = run("python", "manage.py", "shell", "--no-imports", "-c", WORK).split()[-1]
        status, body, headers = shop.get(url)
        check(
            (status, body[:4], headers["Content-Type"]) == (200, b"RIFF", "image/webp"),
            "A cover comes from the bucket.",
        )
        kept = bucket.get_object(Bucket=BUCKET, Key=url.removeprefix("/media/"))["Body"].read()
        check(
            kept == body and headers["Content-Length"] == str(len(body)),
            "It is what lies there, with its length.",
        )
        check(shop.get(url, If_None_Match=headers["ETag"])[0] == 304, "Who has it already is told so.")
        check(sent() > 0, "A mail went out by SES.")

        metrics = shop.get("/metrics", host="10.0.47.11:8000", Authorization=f"Bearer {token}")
        check(
            metrics[0] == 200 and b'route="/api/v3/books/",status="200"} 14.0' in metrics[1],
            "Metrics tell the sum of all workers to who has the token of the secret.",
        )
        check(shop.get("/metrics", host="10.0.47.11:8000")[0] == 404, "They tell nobody else.")

        stop(server)
        lines = told.read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        check(entries, "Every line of the log is one JSON object.")
        named = [entry["request_id"] for entry in entries if entry["logger"] == "gunicorn.access"]
        check(named and "-" not in named, "Every request has its name there.")
        secret = [*passwords, token, held["SECRET_KEY"]]
        check(
            not [line for line in lines if any(word in line for word in secret)], "No secret is in the log."
        )


if __name__ == "__main__":
    main(sys.argv[1])
