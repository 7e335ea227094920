mock_provider "aws" {
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::lori-books-prod-media-123456789012" }
  }
}

variables {
  name       = "lori-books-prod"
  account_id = "123456789012"
}

run "storage" {
  assert {
    condition = (
      aws_s3_bucket_public_access_block.media.block_public_acls
      && aws_s3_bucket_public_access_block.media.block_public_policy
      && aws_s3_bucket_public_access_block.media.ignore_public_acls
      && aws_s3_bucket_public_access_block.media.restrict_public_buckets
    )
    error_message = "The bucket could be made public."
  }

  assert {
    condition     = aws_s3_bucket_versioning.media.versioning_configuration[0].status == "Enabled"
    error_message = "A cover that was deleted by mistake would be lost."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.media.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "Covers are not encrypted."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.media.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "An object's own access list would count."
  }

  assert {
    condition = (
      jsondecode(aws_s3_bucket_policy.media.policy).Statement[0].Effect == "Deny"
      && jsondecode(aws_s3_bucket_policy.media.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    )
    error_message = "The bucket answers without TLS."
  }

  assert {
    condition     = !aws_s3_bucket.media.force_destroy
    error_message = "The bucket could be deleted with its covers."
  }

  assert {
    condition     = aws_s3_bucket.media.bucket == "lori-books-prod-media-123456789012"
    error_message = "The bucket's name moved."
  }
}
