"""Tests that a release is named by its date and number, with GitHub's notes since the previous one."""

from __future__ import annotations

import subprocess

from commands import CommandTest

IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lori-books-staging@sha256:{'a' * 64}"


class MakeReleaseTest(CommandTest):
    """Runs on the last commit of a temporary repository."""

    command = "make-release"
    stand_ins = ("gh",)

    def setUp(self) -> None:
        super().setUp()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, at: str = "2026-11-24T12:00:00Z") -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=Alice", "-c", "user.email=alice@example.org", *words],
            cwd=self.place,
            env={
                "PATH": "/usr/bin:/bin",
                "GIT_COMMITTER_DATE": at,
                "GIT_AUTHOR_DATE": at,
                "HOME": "/nowhere",
            },
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, subject: str = "Rent a book", at: str = "2026-11-24T12:00:00Z") -> None:
        self.git("commit", "--quiet", "--allow-empty", "--message", subject, at=at)

    def release(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run_command(*(words or [IMAGE]), **{"GITHUB_REPOSITORY": "lori/books", **environment})

    def name(self, **environment: str) -> str:
        done = self.release(**environment)
        self.assert_good(done)
        return done.stdout.removeprefix("name=").strip()

    def created(self) -> list[str]:
        return [call for call in self.calls() if call.startswith("gh release create")]

    def test_the_first_release(self) -> None:
        self.commit()
        self.assertEqual(self.name(), "v2026.11.24.1")
        [call] = self.created()
        for words in (
            "gh release create v2026.11.24.1 --repo lori/books ",
            f" --target {self.git('rev-parse', 'HEAD')} --title v2026.11.24.1 ",
            " --prerelease --generate-notes ",
            f" --notes Image: `{IMAGE}`",
        ):
            self.assertIn(words, call)
        self.assertNotIn("--notes-start-tag", call)

    def test_notes_start_at_the_release_before(self) -> None:
        self.commit()
        self.git("tag", "v2026.11.24.1")
        self.git("switch", "--quiet", "--create", "elsewhere")
        self.commit("On another branch")
        self.git("tag", "v2026.11.24.2")
        self.git("switch", "--quiet", "main")
        self.commit("Bring it back")
        self.assertEqual(self.name(), "v2026.11.24.3")
        self.assertIn("--notes-start-tag v2026.11.24.1 ", self.created()[0])

    def test_ten_comes_after_nine(self) -> None:
        for number in (10, 9):
            self.commit()
            self.git("tag", f"v2026.11.24.{number}")
        self.commit()
        self.assertEqual(self.name(), "v2026.11.24.11")
        self.assertIn("--notes-start-tag v2026.11.24.10 ", self.created()[0])

    def test_day_is_utc(self) -> None:
        self.commit(at="2026-11-24T23:30:00-05:00")
        self.assertEqual(self.name(TZ="America/New_York"), "v2026.11.25.1")

    def test_other_tags_do_not_count(self) -> None:
        self.commit()
        for tag in ("v2", "best", "v2026.11.24.1-rc"):
            self.git("tag", tag)
        self.assertEqual(self.name(), "v2026.11.24.1")
        self.assertNotIn("--notes-start-tag", self.created()[0])

    def test_existing_release_is_not_created_again(self) -> None:
        self.commit()
        self.git("tag", "v2026.11.23.4")
        self.answer("gh api", words="v2026.11.23.40\nv2026.11.23.4\n")
        self.assertEqual(self.name(), "v2026.11.23.4")
        self.assertEqual(self.created(), [])

    def test_release_with_a_longer_name_is_another(self) -> None:
        self.commit()
        self.answer("gh api", words="v2026.11.24.10\n")
        self.assertEqual(self.name(), "v2026.11.24.1")
        self.assertEqual(len(self.created()), 1)

    def test_failing_github_is_a_failure(self) -> None:
        self.commit()
        for call in ("gh api", "gh release create"):
            with self.subTest(call):
                self.reset()
                self.answer(call, status=1, words="HTTP 502")
                self.assert_refused(self.release(), "HTTP 502")

    def test_what_is_missing_is_named(self) -> None:
        self.commit()
        self.assert_refused(self.release(GITHUB_REPOSITORY=""), "GITHUB_REPOSITORY is not set")
        self.assert_refused(self.release("lori-books:latest"), "call it as")
        self.assert_refused(self.release(IMAGE, IMAGE), "call it as")
        self.assert_refused(self.release(GIT_DIR="/nowhere"), "no repository with a commit")
