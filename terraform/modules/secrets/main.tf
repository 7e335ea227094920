# The shop's own secrets. The values are ephemeral variables and are passed as a write-only argument, so neither plan
# nor state contains them. A higher version writes new values.

resource "aws_secretsmanager_secret" "app" {
  # checkov:skip=CKV_AWS_149:Secrets Manager encrypts with its own key; only roles of this account read the secret.
  # checkov:skip=CKV2_AWS_57:A new SECRET_KEY signs out all members, so it is replaced by hand: raise app_secret_version.
  name                    = "${var.name}/app"
  description             = "SECRET_KEY and METRICS_TOKEN of ${var.name}, as JSON"
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "app" {
  secret_id                = aws_secretsmanager_secret.app.id
  secret_string_wo         = jsonencode({ SECRET_KEY = var.secret_key, METRICS_TOKEN = var.metrics_token })
  secret_string_wo_version = var.app_secret_version
}
