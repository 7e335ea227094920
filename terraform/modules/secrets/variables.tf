variable "name" {
  description = "Name prefix of the environment's resources, such as lori-books-prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 32 characters: lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen."
  }
}

variable "secret_key" {
  description = "Django's SECRET_KEY. Written only when app_secret_version is increased."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = length(var.secret_key) >= 50
    error_message = "secret_key must have at least 50 characters."
  }
}

variable "metrics_token" {
  description = "Token that protects /metrics. Written only when app_secret_version is increased."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9]{32,}$", var.metrics_token))
    error_message = "metrics_token must have at least 32 letters and digits, since it travels in a header."
  }
}

variable "app_secret_version" {
  description = "Increase by one to replace both values; pods read them when they start."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.app_secret_version >= 1 && floor(var.app_secret_version) == var.app_secret_version
    error_message = "app_secret_version must be a whole number, 1 or more."
  }
}

variable "recovery_days" {
  description = "Days for which a deleted secret can be restored; 0 deletes it at once."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains(concat([0], range(7, 31)), var.recovery_days)
    error_message = "recovery_days must be 0, or a whole number from 7 to 30."
  }
}
