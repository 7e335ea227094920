"""Reads secrets from AWS Secrets Manager, with short timeouts.

Access is granted to the pod's role (IRSA); no access key is configured.
"""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ERRORS = (BotoCoreError, ClientError)
# Somebody waits for most calls: a member for a page, the cluster for a pod to become ready.
BOTO_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


class SecretUnreadable(Exception):
    """A secret cannot be read. The message gives the reason and never contains the secret."""


def read_secret(arn: str) -> dict[str, str]:
    """Return the strings in the JSON object of the secret at `arn`. Raises SecretUnreadable."""
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
