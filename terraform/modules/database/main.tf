# The database, which holds the shop's state: encrypted, in two zones, reachable only by the pods, and protected from
# accidental deletion.

locals {
  family = "postgres${var.postgres_version}"
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "The private subnets of ${var.name}"
  subnet_ids  = var.private_subnet_ids
}

resource "aws_security_group" "this" {
  # checkov:skip=CKV2_AWS_5:It is attached to the database below by vpc_security_group_ids.
  name        = "${var.name}-database"
  description = "PostgreSQL from the pods of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

# No egress rule: a database opens no connections.
resource "aws_vpc_security_group_ingress_rule" "pods" {
  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from the pods"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = var.client_security_group_id
}

# No lock or statement timeout: the shop sets them for requests, and migrations need others.
resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-${local.family}"
  family      = local.family
  description = "TLS only; slow statements and waits for locks are logged"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  parameter {
    name  = "log_lock_waits"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158:CloudWatch encrypts with its own key; only this account reads the group.
  # checkov:skip=CKV_AWS_338:Statements may contain personal data, so they are kept only as long as incidents need them.
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "monitoring" {
  name                 = "${var.name}-database-monitoring"
  description          = "Lets RDS write the measurements of the database's machine"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_161:The shop uses the password that RDS creates and rotates; IAM tokens would be a second way in.
  # checkov:skip=CKV_AWS_354:Performance Insights encrypts with RDS's own key; only this account reads it.
  # checkov:skip=CKV2_AWS_69:rds.force_ssl is set in the parameter group above, and tested.
  # checkov:skip=CKV_AWS_293:Deletion protection is a variable, on by default, so that an environment can be destroyed on purpose.
  # checkov:skip=CKV_AWS_157:Multi-AZ is a variable, on by default; staging turns it off, and tests require it for prod.
  identifier = var.name

  engine                      = "postgres"
  engine_version              = var.postgres_version
  allow_major_version_upgrade = false
  auto_minor_version_upgrade  = true
  instance_class              = var.instance_class
  parameter_group_name        = aws_db_parameter_group.this.name

  storage_type          = "gp3"
  allocated_storage     = var.storage_gib
  max_allocated_storage = var.max_storage_gib
  storage_encrypted     = true

  db_name                     = var.database_name
  username                    = "lori"
  port                        = 5432
  manage_master_user_password = true

  multi_az               = var.multi_az
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]

  # Backups also provide point-in-time recovery; they are kept after the instance is deleted.
  backup_retention_period  = var.backup_days
  backup_window            = "01:00-01:45"
  maintenance_window       = "sun:02:30-sun:03:30"
  copy_tags_to_snapshot    = true
  delete_automated_backups = false

  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.final_snapshot
  final_snapshot_identifier = var.final_snapshot ? "${var.name}-final" : null

  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  performance_insights_enabled          = true
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]
}

locals {
  alarms = {
    cpu = {
      metric      = "CPUUtilization"
      comparison  = "GreaterThanThreshold"
      threshold   = var.cpu_alarm_percent
      description = "The database has been busy for 15 minutes: look for a slow query in Performance Insights, then for a larger instance class."
    }
    memory = {
      metric      = "FreeableMemory"
      comparison  = "LessThanThreshold"
      threshold   = var.memory_alarm_mib * 1024 * 1024
      description = "The database is short of memory: fewer connections, or a larger instance class."
    }
    disk = {
      metric      = "FreeStorageSpace"
      comparison  = "LessThanThreshold"
      threshold   = var.disk_alarm_gib * 1024 * 1024 * 1024
      description = "The database's disk fills up, although it grows by itself up to max_storage_gib: raise that."
    }
    connections = {
      metric      = "DatabaseConnections"
      comparison  = "GreaterThanThreshold"
      threshold   = var.connections_alarm
      description = "The pods hold many connections: fewer pods or workers, or RDS Proxy, before PostgreSQL refuses the next."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = aws_db_instance.this.identifier }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = "missing"

  alarm_actions = [var.alarm_topic_arn]
  ok_actions    = [var.alarm_topic_arn]
}
