variable "name" {
  description = "Name prefix of the environment's resources, such as lori-books-prod."
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

variable "github_repository" {
  description = "The only GitHub repository that may assume the roles, as ORG/REPO."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$", var.github_repository))
    error_message = "github_repository must be ORG/REPO as GitHub writes it, without wildcards."
  }
}

variable "github_environment" {
  description = "GitHub environment whose jobs may deploy."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.github_environment))
    error_message = "github_environment must be 1 to 63 lower-case letters, digits and hyphens, without wildcards."
  }
}

variable "create_provider" {
  description = "Whether to create GitHub's OIDC provider: true in one environment per AWS account, false in the others."
  type        = bool
  nullable    = false
}

variable "state_bucket" {
  description = "Bucket of Terraform's state, the only one whose objects plans may read."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}
