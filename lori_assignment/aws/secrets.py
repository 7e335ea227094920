"""What is asked of AWS: always in bounded time, and as whoever the pod is (IRSA); no key is configured."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ERRORS = (BotoCoreError, ClientError)
# Somebody waits for most of what is asked: a member for a page, the cluster for a pod to be ready.
BOTO_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


class SecretUnreadable(Exception):
    """Says why, in a few words, and nothing of the secret."""


def read_secret(arn: str) -> dict[str, str]:
    """What the secret at `arn` holds as JSON: texts by their names. Raises SecretUnreadable."""
    try:
        client: Any = boto3.client("secretsmanager", region_name=arn.split(":")[3], config=BOTO_CONFIG)
        held = json.loads(client.get_secret_value(SecretId=arn).get("SecretString", ""))
    except ClientError as error:
        raise SecretUnreadable(error.response["Error"]["Code"]) from None
    except BotoCoreError as error:
        raise SecretUnreadable(type(error).__name__) from None
    except ValueError:
        raise SecretUnreadable("it is not JSON") from None
    if not isinstance(held, dict):
        raise SecretUnreadable("it is not a JSON object")
    return {name: value for name, value in held.items() if isinstance(value, str)}
