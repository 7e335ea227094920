mock_provider "aws" {
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:lori-books-prod/app-AbCdEf" }
  }
}

variables {
  name          = "lori-books-prod"
  secret_key    = "0123456789012345678901234567890123456789012345678901234567890123"
  metrics_token = "012345678901234567890123456789012345678901234567"
}

run "secrets" {
  assert {
    condition     = aws_secretsmanager_secret_version.app.secret_string_wo_version == 1
    error_message = "A first value should be written."
  }

  # A write-only argument is null in the state, unlike a value of secret_string.
  assert {
    condition     = aws_secretsmanager_secret_version.app.secret_string_wo == null
    error_message = "The secret's value stands in the state."
  }

  assert {
    condition     = aws_secretsmanager_secret.app.recovery_window_in_days == 30
    error_message = "A deleted secret could not be brought back for 30 days."
  }
}

run "a_higher_version_writes_anew" {
  variables { app_secret_version = 2 }

  assert {
    condition     = aws_secretsmanager_secret_version.app.secret_string_wo_version == 2
    error_message = "Raising the version does not write a new value."
  }
}

run "refuses_a_short_key" {
  command = plan

  variables { secret_key = "short" }

  expect_failures = [var.secret_key]
}
