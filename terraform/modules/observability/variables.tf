variable "name" {
  description = "Name prefix of the environment's resources, such as lori-books-prod; also the name of the cluster."
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

variable "region" {
  description = "AWS region, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region must be a region of AWS's commercial partition, such as eu-central-1."
  }
}

variable "alarm_email" {
  description = "E-mail address that gets alarms. AWS sends it a request to confirm the subscription."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.alarm_email))
    error_message = "alarm_email must be a bare e-mail address, such as alarms@example.org."
  }
}

variable "ingress" {
  description = "Namespace and name of the shop's ingress, used to find its load balancer."
  type        = string
  default     = "lori-books/lori-books"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9-]+/[a-z0-9-]+$", var.ingress))
    error_message = "ingress must be NAMESPACE/NAME in lower case, such as lori-books/lori-books."
  }
}

variable "database_instance_id" {
  description = "Identifier of the database instance."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.database_instance_id))
    error_message = "database_instance_id must be the name of an RDS instance: lower-case letters, digits and hyphens."
  }
}

variable "log_retention_days" {
  description = "Days for which the shop's log is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "error_alarm_percent" {
  description = "Percentage of server errors that raises an alarm when exceeded in 3 of 5 minutes; minutes with at most 20 requests don't count."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.error_alarm_percent > 0 && var.error_alarm_percent <= 100
    error_message = "error_alarm_percent must be above 0 and at most 100."
  }
}

variable "latency_alarm_seconds" {
  description = "95th percentile of response times, in seconds, that raises an alarm after 15 minutes."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.latency_alarm_seconds > 0 && var.latency_alarm_seconds <= 60
    error_message = "latency_alarm_seconds must be above 0 and at most 60."
  }
}
