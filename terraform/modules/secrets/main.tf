# What the shop itself must keep secret. The value arrives as an ephemeral and leaves as a write-only argument,
# so that neither the plan nor the state ever holds it. A higher version writes a new value.

resource "aws_secretsmanager_secret" "app" {
  # checkov:skip=CKV_AWS_149:Secrets Manager encrypts with its own key; only roles of this account read the secret.
  # checkov:skip=CKV2_AWS_57:A new SECRET_KEY signs every member out, so its day is chosen by people: raise app_secret_version.
  name                    = "${var.name}/app"
  description             = "SECRET_KEY and METRICS_TOKEN of ${var.name}, as JSON"
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "app" {
  secret_id                = aws_secretsmanager_secret.app.id
  secret_string_wo         = jsonencode({ SECRET_KEY = var.secret_key, METRICS_TOKEN = var.metrics_token })
  secret_string_wo_version = var.app_secret_version
}
