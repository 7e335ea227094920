variable "region" {
  description = "AWS region of the state's bucket, such as eu-central-1."
  type        = string
  default     = "eu-central-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region must be a region of AWS's commercial partition, such as eu-central-1."
  }
}

variable "old_version_days" {
  description = "Days for which old versions of the state are kept."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.old_version_days >= 30 && var.old_version_days <= 3650 && floor(var.old_version_days) == var.old_version_days
    error_message = "old_version_days must be a whole number from 30 to 3650."
  }
}
