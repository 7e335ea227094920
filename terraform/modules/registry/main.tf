resource "aws_ecr_repository" "this" {
  # checkov:skip=CKV_AWS_136:ECR encrypts with its own key; a customer-managed key would have to be shared with production's account.
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"
  force_delete         = false

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

# Images expire by number only, not by age or missing tags: after months without a deployment, pods still start from
# the image in use, and an image that was promoted by digest may have no tag.
resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keep the last ${var.kept_images} images"
      selection = {
        tagStatus   = "any"
        countType   = "imageCountMoreThan"
        countNumber = var.kept_images
      }
      action = { type = "expire" }
    }]
  })
}

# If production has its own account, it pulls the image that staging tested from staging's repository.
resource "aws_ecr_repository_policy" "readers" {
  count = length(var.reader_account_ids) == 0 ? 0 : 1

  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ReadByTheAccountsThatImagesArePromotedTo"
      Effect    = "Allow"
      Principal = { AWS = [for id in sort(var.reader_account_ids) : "arn:aws:iam::${id}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}
