"""Calls of AWS, with botocore's Stubber for responses. `checks/aws-check` uses moto."""

from __future__ import annotations

import io
import json
from typing import Any
from unittest import TestCase, mock

import boto3
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from django.core.files.base import ContentFile
from django.core.mail import EmailMessage
from django.test import override_settings

from accounts.mail import mail_member
from lori_assignment.aws import secrets
from lori_assignment.aws.s3_storage import Bucket
from lori_assignment.aws.secrets import SecretUnreadable, read_secret
from lori_assignment.aws.ses_email import SESEmailBackend
from lori_assignment.testing.cases import CastTestCase

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-AbCdEf"
NAME = f"covers/{'0a' * 16}.webp"


class SecretTest(TestCase):
    def read(self, answer: dict[str, Any] | str | Exception) -> dict[str, str]:
        client = boto3.client("secretsmanager", region_name="eu-central-1", config=secrets.BOTO_CONFIG)
        with Stubber(client) as stub, mock.patch.object(boto3, "client", return_value=client) as made:
            if isinstance(answer, dict):
                stub.add_response("get_secret_value", answer, {"SecretId": ARN})
            elif isinstance(answer, str):
                stub.add_client_error("get_secret_value", answer, "…which tells of the account 123456789012")
            else:
                made.side_effect = answer
            return read_secret(ARN)

    def test_texts_are_read_by_name(self) -> None:
        held = {"SECRET_KEY": "a", "METRICS_TOKEN": "b", "number": 7}
        self.assertEqual(
            self.read({"SecretString": json.dumps(held)}), {"SECRET_KEY": "a", "METRICS_TOKEN": "b"}
        )

    def test_error_names_only_the_reason(self) -> None:
        unreachable = EndpointConnectionError(
            endpoint_url="https://secretsmanager.eu-central-1.amazonaws.com"
        )
        for answer, why in [
            ("AccessDeniedException", "AccessDeniedException"),
            (unreachable, "EndpointConnectionError"),
            ({"SecretString": "pass: word"}, "it is not JSON"),
            ({"SecretBinary": b"x"}, "it is not JSON"),
            ({"SecretString": '["pass"]'}, "it is not a JSON object"),
        ]:
            with self.subTest(why=why), self.assertRaises(SecretUnreadable) as stopped:
                self.read(answer)  # type: ignore[arg-type]
            self.assertEqual(str(stopped.exception), why)

    def test_read_is_bounded_in_time(self) -> None:
        self.assertLessEqual(secrets.BOTO_CONFIG.connect_timeout + secrets.BOTO_CONFIG.read_timeout, 10)
        self.assertEqual(secrets.BOTO_CONFIG.retries["total_max_attempts"], 2)


@override_settings(
    AWS_SES_REGION_NAME="eu-central-1",
    AWS_SES_REGION_ENDPOINT_URL=None,
    EMAIL_BACKEND="lori_assignment.aws.ses_email.SESEmailBackend",
)
class MailTest(CastTestCase):
    def setUp(self) -> None:
        self.mail = SESEmailBackend(use_ses_v2=True)
        self.mail.open()
        self.stub = Stubber(self.mail.connection)
        self.stub.activate()
        self.addCleanup(self.stub.deactivate)

    def test_mail_is_sent_unchanged(self) -> None:
        facts = {
            "FromEmailAddress": "shop@shop.example",
            "Destination": {"ToAddresses": ["a@b.example"]},
            "Content": ANY,
        }
        self.stub.add_response(
            "send_email", {"MessageId": "1", "ResponseMetadata": {"RequestId": "2"}}, facts
        )
        mail = EmailMessage("Your book — it is here", "Grüße", "shop@shop.example", ["a@b.example"])
        self.assertEqual(self.mail.send_messages([mail]), 1)
        self.stub.assert_no_pending_responses()
        self.assertEqual(self.mail.connection.meta.region_name, "eu-central-1")
        self.assertEqual(self.mail.connection.meta.config.read_timeout, secrets.BOTO_CONFIG.read_timeout)

    def test_failure_is_an_os_error_and_is_logged(self) -> None:
        mail = EmailMessage("Hello", "", "shop@shop.example", ["a@b.example"])
        self.stub.add_client_error("send_email", "MessageRejected")
        with self.assertRaisesRegex(OSError, "MessageRejected"):
            self.mail.send_messages([mail])
        self.stub.add_client_error("send_email", "TooManyRequestsException")
        with (
            mock.patch("django.core.mail.get_connection", return_value=self.mail),
            self.assertLogs("accounts.mail"),
        ):
            mail_member(self.alice, "hold_ready", title="Dune")
        self.stub.assert_no_pending_responses()


class BucketTest(TestCase):
    def setUp(self) -> None:
        self.bucket = Bucket(
            bucket_name="covers-of-the-shop", region_name="eu-central-1", file_overwrite=False
        )
        self.stub = Stubber(self.bucket.connection.meta.client)
        self.stub.activate()
        self.addCleanup(self.stub.deactivate)

    def test_file_is_streamed_by_one_request(self) -> None:
        body = io.BytesIO(b"a picture")
        answer = {"Body": StreamingBody(body, 9), "ContentLength": 9}
        self.stub.add_response("get_object", answer, {"Bucket": "covers-of-the-shop", "Key": NAME})
        with self.bucket.open(NAME) as file:
            self.assertEqual((file.size, body.tell()), (9, 0))
            self.assertEqual(b"".join(file.chunks(4)), b"a picture")
        self.assertTrue(body.closed)
        self.stub.assert_no_pending_responses()

    def test_errors_are_raised_as_os_errors(self) -> None:
        self.stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
        with self.assertRaises(FileNotFoundError):
            self.bucket.open(NAME)
        for method, act in [
            ("get_object", lambda: self.bucket.open(NAME)),
            ("put_object", lambda: self.bucket._save(NAME, ContentFile(b"x"))),
            ("delete_object", lambda: self.bucket.delete(NAME)),
            ("head_object", lambda: self.bucket.exists(NAME)),
        ]:
            with self.subTest(method=method):
                self.stub.add_client_error(method, "SlowDown", http_status_code=503)
                with self.assertRaises(OSError) as stopped:
                    act()
                self.assertNotIsInstance(stopped.exception, FileNotFoundError)
        self.stub.assert_no_pending_responses()

    def test_existing_file_is_not_overwritten(self) -> None:
        self.stub.add_response("head_object", {}, {"Bucket": "covers-of-the-shop", "Key": NAME})
        self.stub.add_client_error("head_object", "404", http_status_code=404)
        self.stub.add_response("put_object", {}, None)
        saved = self.bucket.save(NAME, ContentFile(b"another"))
        self.assertNotEqual(saved, NAME)
        self.stub.assert_no_pending_responses()

    def test_url_is_local_and_client_is_shared(self) -> None:
        self.assertEqual(self.bucket.url(NAME), f"/media/{NAME}")
        with override_settings(MEDIA_URL="https://covers.example/"):
            self.assertEqual(self.bucket.url(NAME), f"https://covers.example/{NAME}")
        self.assertIs(self.bucket.connection, self.bucket.connection)
        self.assertIsNone(self.bucket.default_acl)
