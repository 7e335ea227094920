resource "aws_ecr_repository" "this" {
  # checkov:skip=CKV_AWS_136:ECR encrypts with its own key; a key of ours would have to be shared with the account that an image is promoted to.
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

# By number only, never by age: a shop that was not deployed for months still starts its pods from the image it
# runs, and an image that was promoted by digest may carry no tag.
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

# Where production has its own account, it reads the image that staging proved from staging's repository.
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
