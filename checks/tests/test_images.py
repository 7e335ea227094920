"""Tests that an image is found by its tag and promoted by its digest."""

from __future__ import annotations

import subprocess
from pathlib import Path

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

    def test_command_prints_the_digest(self) -> None:
        self.answer("aws ecr describe-images", words=f"{DIGEST}\n")
        done = self.run_command(STAGING, TAG)
        self.assert_good(done)
        self.assertEqual(done.stdout, f"{DIGEST}\n")
        where = "--registry-id 111111111111 --region eu-central-1 --repository-name lori-books-staging"
        self.assertIn(f"{where} --image-ids imageTag={TAG}", self.calls()[0])

    def test_missing_image_prints_nothing(self) -> None:
        self.answer("aws ecr describe-images", status=254, words=NO_IMAGE)
        done = self.run_command(STAGING, TAG)
        self.assert_good(done)
        self.assertEqual(done.stdout, "")

    def test_other_failures_are_errors(self) -> None:
        # Otherwise "access denied" would be taken for "not found", and the image would be built again.
        for error in ("AccessDeniedException", "RepositoryNotFoundException", "could not connect"):
            with self.subTest(error):
                self.reset()
                self.answer("aws ecr describe-images", status=254, words=error)
                self.assert_refused(self.run_command(STAGING, TAG), "ECR does not say")

    def test_answer_without_a_digest_is_refused(self) -> None:
        self.answer("aws ecr describe-images", words="None\n")
        self.assert_refused(self.run_command(STAGING, TAG), "None, which is no digest")

    def test_invalid_arguments_are_refused(self) -> None:
        self.assert_refused(self.run_command("docker.io/lori", TAG), "is no repository of ECR")
        self.assert_refused(self.run_command(STAGING, "a b"), "is no tag")
        self.assertEqual(self.calls(), [])


class PromoteImageTest(CommandTest):
    command = "promote-image"
    stand_ins = ("aws", "skopeo")

    def promote(self, source: str = f"{STAGING}@{DIGEST}") -> subprocess.CompletedProcess[str]:
        self.answer("aws ecr get-login-password", words="let-me-in")
        return self.run_command(source, PROD, TAG)

    def there(self, *answers: str) -> None:
        """Set ECR's successive answers for the tag; an empty one means no image."""
        for digest in answers:
            words = f"{digest}\n" if digest else NO_IMAGE
            self.answer("aws ecr describe-images", status=0 if digest else 254, words=words, times=1)

    def copies(self) -> list[str]:
        return [call for call in self.calls() if call.startswith("skopeo copy")]

    def test_image_is_copied_by_digest_and_verified(self) -> None:
        self.there("", DIGEST)
        self.assert_good(self.promote())
        [copy] = self.copies()
        self.assertIn(" --all --preserve-digests ", copy)
        self.assertTrue(copy.endswith(f" docker://{STAGING}@{DIGEST} docker://{PROD}:{TAG}"))
        self.assertTrue(self.calls()[-1].startswith("aws ecr describe-images --registry-id 222222222222"))

    def test_credentials_last_for_one_copy(self) -> None:
        self.there("", DIGEST)
        self.assert_good(self.promote())
        logins = [record for record in self.records() if record["call"][:2] == ["skopeo", "login"]]
        self.assertEqual([login["call"][-1] for login in logins], [STAGING.split("/")[0], PROD.split("/")[0]])
        self.assertEqual({login["stdin"] for login in logins}, {"let-me-in"})
        [keys] = {login["call"][3] for login in logins}
        self.assertIn(f"--authfile {keys} ", self.copies()[0])
        self.assertFalse(Path(keys).exists())

    def test_existing_image_is_not_copied(self) -> None:
        self.there(DIGEST)
        self.assert_good(self.promote())
        self.assertEqual(self.copies(), [])

    def test_other_image_under_the_tag_is_refused(self) -> None:
        self.there(OTHER)
        self.assert_refused(self.promote(), f"is {OTHER} and not {DIGEST}")
        self.assertEqual(self.copies(), [])

    def test_wrong_or_missing_copy_is_refused(self) -> None:
        for outcome in (OTHER, ""):
            with self.subTest(outcome):
                self.reset()
                self.there("", outcome)
                self.assert_refused(self.promote(), f"and not {DIGEST}")

    def test_failed_step_ends_the_run(self) -> None:
        for failing in ("aws ecr get-login-password", "skopeo login", "skopeo copy"):
            with self.subTest(failing):
                self.reset()
                self.answer(failing, status=1, words="denied")
                self.there("", DIGEST)
                self.assert_refused(self.promote(), "denied")
                self.assertFalse(self.calls()[-1].startswith("aws ecr describe-images"))

    def test_an_image_by_tag_is_refused(self) -> None:
        self.assert_refused(self.promote(f"{STAGING}:{TAG}"), "is no image with its digest")
        self.assertEqual(self.calls(), [])
