mock_provider "aws" {}

variables {
  name = "lori-books-staging"
}

run "registry" {
  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "A tag could be moved to another image."
  }

  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "Images are not scanned when they are pushed."
  }

  assert {
    condition     = !aws_ecr_repository.this.force_delete
    error_message = "The repository could be deleted with its images."
  }

  # An image in use must not be deleted because it is old or has no tag.
  assert {
    condition = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection] == [
      { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 100 }
    ]
    error_message = "Images go by something else than their number."
  }

  assert {
    condition     = length(aws_ecr_repository_policy.readers) == 0
    error_message = "Somebody outside the account may read images."
  }
}

run "production_in_another_account_reads" {
  variables { reader_account_ids = ["210987654321"] }

  assert {
    condition     = jsondecode(aws_ecr_repository_policy.readers[0].policy).Statement[0].Principal.AWS == ["arn:aws:iam::210987654321:root"]
    error_message = "The named account, and only it, should read."
  }

  assert {
    condition     = alltrue([for action in jsondecode(aws_ecr_repository_policy.readers[0].policy).Statement[0].Action : !can(regex("Put|Upload|Delete|\\*", action))])
    error_message = "The other account may do more than read."
  }
}

run "refuses_an_account_that_is_none" {
  command = plan

  variables { reader_account_ids = ["*"] }

  expect_failures = [var.reader_account_ids]
}
