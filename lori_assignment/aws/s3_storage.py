"""File storage in a private S3 bucket, configured in `STORAGES`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.base import File
from django.utils.encoding import filepath_to_uri
from storages.backends.s3 import S3Storage

from lori_assignment.aws.secrets import ERRORS


@contextmanager
def aws_errors_as_oserror() -> Iterator[None]:
    """Convert errors of AWS to OSError, which the callers of a storage handle."""
    try:
        yield
    except (*ERRORS, Boto3Error) as error:
        raise OSError(f"The bucket can't be used: {error}") from error


class Bucket(S3Storage):
    """django-storages' S3 storage, with what its options do not offer:

    - one client for all threads, since each takes a third of a second and 10 MB;
    - URLs below MEDIA_URL, which may be a path; `custom_domain` has to be a host;
    - reading in one streamed request; S3Storage sends three and buffers the whole file;
    - OSError for every error of AWS.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connections = SimpleNamespace()

    def url(self, name: str, *args: Any, **kwargs: Any) -> str:
        return f"{settings.MEDIA_URL}{filepath_to_uri(name)}"

    def _open(self, name: str, mode: str = "rb") -> File:
        with aws_errors_as_oserror():
            if mode != "rb":
                return super()._open(name, mode)
            try:
                response = self.connection.meta.client.get_object(
                    Bucket=self.bucket_name, Key=self._normalize_name(name)
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    raise FileNotFoundError(name) from None
                raise
        file = File(response["Body"], name)
        file.size = response["ContentLength"]
        return file

    def _save(self, name: str, content: File) -> str:
        with aws_errors_as_oserror():
            return super()._save(name, content)

    def delete(self, name: str) -> None:
        with aws_errors_as_oserror():
            super().delete(name)

    def exists(self, name: str) -> bool:
        with aws_errors_as_oserror():
            return super().exists(name)
