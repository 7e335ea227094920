variable "name" {
  description = "Name prefix of the environment's resources, such as lori-books-prod; also the name of the instance."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 32 characters: lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen."
  }
}

variable "account_id" {
  description = "The id of the AWS account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be the 12 digits of an AWS account."
  }
}

variable "vpc_id" {
  description = "VPC of the database."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "private_subnet_ids" {
  description = "Private subnets in at least two zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.private_subnet_ids)) >= 2 && alltrue([for id in var.private_subnet_ids : can(regex("^subnet-[0-9a-z]+$", id))])
    error_message = "private_subnet_ids must be ids of at least two different subnets, such as subnet-0123456789abcdef0."
  }
}

variable "client_security_group_id" {
  description = "Security group of the pods, the only clients of the database."
  type        = string

  validation {
    condition     = can(regex("^sg-[0-9a-z]+$", var.client_security_group_id))
    error_message = "client_security_group_id must be the id of a security group, such as sg-0123456789abcdef0."
  }
}

variable "postgres_version" {
  description = "Major version of PostgreSQL. Minor upgrades are automatic, in the maintenance window."
  type        = string
  default     = "17"
  nullable    = false

  validation {
    condition     = contains(["16", "17"], var.postgres_version)
    error_message = "postgres_version must be 16 or 17."
  }
}

variable "instance_class" {
  description = "Instance class of the database, such as db.t4g.medium."
  type        = string

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.(micro|small|medium|large|[0-9]*xlarge)$", var.instance_class))
    error_message = "instance_class must be an RDS instance class, such as db.t4g.medium or db.m7g.large."
  }
}

variable "storage_gib" {
  description = "Initial size of the disk in GiB."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.storage_gib >= 20 && var.storage_gib <= 65536 && floor(var.storage_gib) == var.storage_gib
    error_message = "storage_gib must be a whole number from 20 to 65536."
  }
}

variable "max_storage_gib" {
  description = "Size up to which the disk grows automatically, in GiB."
  type        = number
  default     = 200
  nullable    = false

  validation {
    condition     = var.max_storage_gib >= var.storage_gib * 1.1 && var.max_storage_gib <= 65536 && floor(var.max_storage_gib) == var.max_storage_gib
    error_message = "max_storage_gib must be a whole number at least a tenth above storage_gib, and at most 65536."
  }
}

variable "database_name" {
  description = "Name of the database inside PostgreSQL."
  type        = string
  default     = "lori"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name))
    error_message = "database_name must have 1 to 63 lower-case letters, digits and underscores, beginning with a letter."
  }
}

variable "multi_az" {
  description = "Whether there is a standby instance in another zone, which takes over in about a minute."
  type        = bool
  default     = true
  nullable    = false
}

variable "backup_days" {
  description = "Days for which point-in-time recovery is possible."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35 && floor(var.backup_days) == var.backup_days
    error_message = "backup_days must be a whole number from 7 to 35."
  }
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the database. Turn it off only to destroy the environment."
  type        = bool
  default     = true
  nullable    = false
}

variable "final_snapshot" {
  description = "Whether to take a final snapshot when the database is deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_retention_days" {
  description = "Days for which the database's log is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that gets alarms, and messages when they end."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic."
  }
}

variable "cpu_alarm_percent" {
  description = "CPU utilization in percent that raises an alarm after 15 minutes."
  type        = number
  default     = 80
  nullable    = false

  validation {
    condition     = var.cpu_alarm_percent > 0 && var.cpu_alarm_percent < 100
    error_message = "cpu_alarm_percent must lie between 0 and 100."
  }
}

variable "memory_alarm_mib" {
  description = "Free memory in MiB below which an alarm is raised after 15 minutes."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.memory_alarm_mib >= 32
    error_message = "memory_alarm_mib must be 32 or more."
  }
}

variable "disk_alarm_gib" {
  description = "Free disk space in GiB below which an alarm is raised after 15 minutes."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.disk_alarm_gib >= 1 && var.disk_alarm_gib < var.storage_gib
    error_message = "disk_alarm_gib must be 1 or more and below storage_gib."
  }
}

variable "connections_alarm" {
  description = "Number of open connections that raises an alarm after 15 minutes; keep it below the instance class's max_connections."
  type        = number
  default     = 150
  nullable    = false

  validation {
    condition     = var.connections_alarm >= 10 && floor(var.connections_alarm) == var.connections_alarm
    error_message = "connections_alarm must be a whole number, 10 or more."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of this module's role; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, or null."
  }
}
