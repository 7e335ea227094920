variable "name" {
  description = "Name of the repository, such as lori-books-prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 32 characters: lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen."
  }
}

variable "kept_images" {
  description = "Number of images to keep, and thus how far the shop can be rolled back."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.kept_images >= 10 && var.kept_images <= 1000 && floor(var.kept_images) == var.kept_images
    error_message = "kept_images must be a whole number from 10 to 1000."
  }
}

variable "reader_account_ids" {
  description = "Other AWS accounts that may pull images, such as production's from staging's repository."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.reader_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "reader_account_ids must be numbers of AWS accounts, 12 digits each."
  }
}
