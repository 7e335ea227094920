mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/monitoring" }
  }

  mock_resource "aws_db_instance" {
    defaults = {
      address            = "lori-books-prod.example.eu-central-1.rds.amazonaws.com"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-AbCdEf" }]
    }
  }
}

variables {
  name                     = "lori-books-prod"
  account_id               = "123456789012"
  vpc_id                   = "vpc-1"
  private_subnet_ids       = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_group_id = "sg-pods"
  instance_class           = "db.t4g.medium"
  alarm_topic_arn          = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "database" {
  assert {
    condition     = aws_db_instance.this.multi_az
    error_message = "No second machine stands by."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted
    error_message = "The disk is not encrypted."
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_subnet_group.this.subnet_ids == toset(["subnet-1", "subnet-2", "subnet-3"])
    error_message = "The database can be reached from outside the private subnets."
  }

  assert {
    condition = (
      aws_db_instance.this.vpc_security_group_ids == toset([aws_security_group.this.id])
      && aws_vpc_security_group_ingress_rule.pods.security_group_id == aws_security_group.this.id
      && aws_vpc_security_group_ingress_rule.pods.referenced_security_group_id == "sg-pods"
      && aws_vpc_security_group_ingress_rule.pods.cidr_ipv4 == null
      && aws_vpc_security_group_ingress_rule.pods.from_port == 5432
      && aws_vpc_security_group_ingress_rule.pods.to_port == 5432
    )
    error_message = "Others than the pods reach the database."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password == true && aws_db_instance.this.password == null && aws_db_instance.this.password_wo == null
    error_message = "The password is not made and rotated by RDS."
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 30 && !aws_db_instance.this.delete_automated_backups
    error_message = "Backups don't reach back 30 days, or go with the instance."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "The database could be deleted by a slip of the hand."
  }

  assert {
    condition = (
      aws_db_instance.this.engine == "postgres" && aws_db_instance.this.engine_version == "17"
      && aws_db_parameter_group.this.family == "postgres17"
      && aws_db_instance.this.parameter_group_name == aws_db_parameter_group.this.name
      && !aws_db_instance.this.allow_major_version_upgrade
    )
    error_message = "The engine and its parameters don't belong together."
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "PostgreSQL takes connections without TLS."
  }

  # The shop sets these, with different values for requests and migrations.
  assert {
    condition     = alltrue([for parameter in aws_db_parameter_group.this.parameter : !can(regex("timeout", parameter.name))])
    error_message = "A timeout for everybody would break migrations."
  }

  assert {
    condition = { for alarm in aws_cloudwatch_metric_alarm.this : alarm.metric_name => alarm.comparison_operator } == {
      CPUUtilization      = "GreaterThanThreshold"
      DatabaseConnections = "GreaterThanThreshold"
      FreeStorageSpace    = "LessThanThreshold"
      FreeableMemory      = "LessThanThreshold"
    }
    error_message = "An alarm is missing, or looks the wrong way."
  }

  assert {
    condition = alltrue([for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.namespace == "AWS/RDS"
      && alarm.dimensions == tomap({ DBInstanceIdentifier = aws_db_instance.this.identifier })
      && alarm.alarm_actions == toset([var.alarm_topic_arn])
      && alarm.ok_actions == toset([var.alarm_topic_arn])
      && alarm.actions_enabled != false
    ])
    error_message = "An alarm does not watch this database, or tells nobody."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 30]) && toset(keys(aws_cloudwatch_log_group.this)) == aws_db_instance.this.enabled_cloudwatch_logs_exports
    error_message = "A log of the database is kept for ever, since its group is not Terraform's."
  }
}

run "can_be_taken_down_on_purpose" {
  variables {
    deletion_protection = false
    final_snapshot      = false
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot
    error_message = "The variables don't do what they say."
  }
}

run "refuses_an_old_postgresql" {
  command = plan

  variables { postgres_version = "14" }

  expect_failures = [var.postgres_version]
}

run "refuses_one_subnet" {
  command = plan

  variables { private_subnet_ids = ["subnet-1", "subnet-1"] }

  expect_failures = [var.private_subnet_ids]
}

run "refuses_few_backups" {
  command = plan

  variables { backup_days = 1 }

  expect_failures = [var.backup_days]
}

run "refuses_a_disk_that_cannot_grow" {
  command = plan

  variables { max_storage_gib = 21 }

  expect_failures = [var.max_storage_gib]
}
