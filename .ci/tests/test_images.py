"""An image is found by its tag, and promoted by its digest."""

from __future__ import annotations

from commands import CommandTest

STAGING = "111111111111.dkr.ecr.eu-central-1.amazonaws.com/lori-books-staging"
PROD = "222222222222.dkr.ecr.eu-central-1.amazonaws.com/lori-books-prod"
DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
TAG = "0123456789abcdef0123456789abcdef01234567"
NO_IMAGE = (
    "An error occurred (ImageNotFoundException) when calling the DescribeImages operation: no such image"
)


class FindImageTest(CommandTest):
    command = "find-image"
    stand_ins = ("aws",)

    def test_it_prints_the_digest(self) -> None:
        self.answer("aws ecr describe-images", words=f"{DIGEST}\n")
        done = self.run_command(STAGING, TAG)
        self.assert_good(done)
        self.assertEqual(done.stdout, f"{DIGEST}\n")
        where = "--registry-id 111111111111 --region eu-central-1 --repository-name lori-books-staging"
        self.assertIn(f"{where} --image-ids imageTag={TAG}", self.calls()[0])

    def test_no_image_is_an_answer(self) -> None:
        self.answer("aws ecr describe-images", status=254, words=NO_IMAGE)
        done = self.run_command(STAGING, TAG)
        self.assert_good(done)
        self.assertEqual(done.stdout, "")

    def test_every_other_failure_is_one(self) -> None:
        # Else "not allowed to look" would be taken for "not there", and the image built a second time.
        for error in ("AccessDeniedException", "RepositoryNotFoundException", "could not connect"):
            with self.subTest(error):
                self.reset()
                self.answer("aws ecr describe-images", status=254, words=error)
                self.assert_refused(self.run_command(STAGING, TAG), "ECR does not say")

    def test_an_answer_that_is_no_digest_is_refused(self) -> None:
        self.answer("aws ecr describe-images", words="None\n")
        self.assert_refused(self.run_command(STAGING, TAG), "None, which is no digest")

    def test_wrong_words_are_refused(self) -> None:
        self.assert_refused(self.run_command("docker.io/lori", TAG), "is no repository of ECR")
        self.assert_refused(self.run_command(STAGING, "a b"), "is no tag")
        self.assertEqual(self.calls(), [])


class PromoteImageTest(CommandTest):
    command = "promote-image"
    stand_ins = ("aws", "skopeo")

    def test_it_copies_by_digest_and_looks_again(self) -> None:
        self.answer("aws", status=254, words=NO_IMAGE, times=1)
        self.answer("aws", words=f"{DIGEST}\n")
        self.assert_good(self.run_command(f"{STAGING}@{DIGEST}", PROD, TAG))
        copy = next(call for call in self.calls() if call.startswith("skopeo"))
        self.assertIn("copy --all --preserve-digests", copy)
        self.assertTrue(copy.endswith(f" docker://{STAGING}@{DIGEST} docker://{PROD}:{TAG}"))
        self.assertEqual([call.split()[0] for call in self.calls()], ["aws", "skopeo", "aws"])

    def test_what_is_there_is_not_copied_again(self) -> None:
        self.answer("aws", words=f"{DIGEST}\n")
        self.assert_good(self.run_command(f"{STAGING}@{DIGEST}", PROD, TAG))
        self.assertEqual([call.split()[0] for call in self.calls()], ["aws"])

    def test_another_image_under_the_tag_is_refused(self) -> None:
        self.answer("aws", words=f"{OTHER}\n")
        self.assert_refused(
            self.run_command(f"{STAGING}@{DIGEST}", PROD, TAG), f"is {OTHER} and not {DIGEST}"
        )
        self.assertEqual([call.split()[0] for call in self.calls()], ["aws"])

    def test_a_copy_that_came_out_as_another_is_refused(self) -> None:
        self.answer("aws", status=254, words=NO_IMAGE, times=1)
        self.answer("aws", words=f"{OTHER}\n")
        self.assert_refused(
            self.run_command(f"{STAGING}@{DIGEST}", PROD, TAG), f"is {OTHER} and not {DIGEST}"
        )

    def test_a_copy_that_fails_ends_it(self) -> None:
        self.answer("aws", status=254, words=NO_IMAGE, times=1)
        self.answer("skopeo", status=1, words="denied")
        self.assert_refused(self.run_command(f"{STAGING}@{DIGEST}", PROD, TAG), "denied")

    def test_an_image_by_tag_is_refused(self) -> None:
        self.assert_refused(self.run_command(f"{STAGING}:{TAG}", PROD, TAG), "is no image with its digest")
        self.assertEqual(self.calls(), [])
