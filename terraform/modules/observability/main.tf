# Log group, alarm topic and dashboard of the shop.

resource "aws_cloudwatch_log_group" "app" {
  # checkov:skip=CKV_AWS_158:CloudWatch encrypts with its own key; only this account reads the group.
  # checkov:skip=CKV_AWS_338:Logs contain personal data, so they are kept only as long as incidents need them.
  name              = "/aws/eks/${var.name}/app"
  retention_in_days = var.log_retention_days
}

# A customer-managed key: alarms and RDS cannot publish to a topic that is encrypted with SNS's own key.
resource "aws_kms_key" "alarms" {
  description             = "Alarms of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheAccountDecidesByIam"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
      }, {
      Sid       = "PublishersEncrypt"
      Effect    = "Allow"
      Principal = { Service = local.publishers }
      Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_kms_alias" "alarms" {
  name          = "alias/${var.name}-alarms"
  target_key_id = aws_kms_key.alarms.key_id
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.alarms.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndDatabaseEvents"
      Effect    = "Allow"
      Principal = { Service = local.publishers }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

# AWS sends a request to confirm the subscription; until it is confirmed, no alarms are sent.
resource "aws_sns_topic_subscription" "email" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_db_event_subscription" "this" {
  name        = "${var.name}-database"
  sns_topic   = aws_sns_topic.alarms.arn
  source_type = "db-instance"
  source_ids  = [var.database_instance_id]

  event_categories = [
    "availability",
    "configuration change",
    "deletion",
    "failover",
    "failure",
    "low storage",
    "maintenance",
    "notification",
    "recovery",
  ]

  depends_on = [aws_sns_topic_policy.alarms]
}

locals {
  publishers = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]
}
