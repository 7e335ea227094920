"""A release is named by its day and number, and its notes are the subjects since the one before."""

from __future__ import annotations

import subprocess
from typing import Any

from commands import CommandTest

IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lori-books-staging@sha256:{'a' * 64}"


class HistoryTest(CommandTest):
    """A repository of its own, on whose last commit the command is run."""

    def setUp(self) -> None:
        super().setUp()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, at: str = "2026-11-24T12:00:00Z") -> None:
        subprocess.run(
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
        )

    def commit(self, subject: str, at: str = "2026-11-24T12:00:00Z") -> None:
        self.git("commit", "--quiet", "--allow-empty", "--message", subject, at=at)


class ReleaseNotesTest(HistoryTest):
    command = "release-notes"

    def said(self, *words: str, **environment: str) -> str:
        done = self.run_command(*words, **environment)
        self.assert_good(done)
        return done.stdout

    def test_the_first_release_tells_everything(self) -> None:
        self.commit("Rent a book")
        self.commit("Bring it back")
        self.assertEqual(self.said("tag"), "v2026.11.24.1\n")
        notes = self.said("notes", IMAGE)
        self.assertIn("The first release.", notes)
        self.assertLess(notes.index("Bring it back"), notes.index("Rent a book"))
        self.assertIn(f"Image: `{IMAGE}`", notes)

    def test_the_next_tells_what_came_since(self) -> None:
        self.commit("Rent a book")
        self.git("tag", "v2026.11.24.1")
        self.commit("Bring it back")
        self.assertEqual(self.said("tag"), "v2026.11.24.2\n")
        notes = self.said("notes", IMAGE)
        self.assertIn("Since v2026.11.24.1:", notes)
        self.assertIn("Bring it back", notes)
        self.assertNotIn("Rent a book", notes)

    def test_the_tenth_of_a_day_comes_after_the_ninth(self) -> None:
        for number in (10, 9):
            self.commit(f"Change {number}")
            self.git("tag", f"v2026.11.24.{number}")
        self.commit("Change")
        self.assertEqual(self.said("tag"), "v2026.11.24.11\n")
        self.assertIn("Since v2026.11.24.10:", self.said("notes", IMAGE))

    def test_a_commit_that_has_a_release_keeps_its_name_and_its_notes(self) -> None:
        self.commit("Rent a book")
        self.git("tag", "v2026.11.23.4")
        self.commit("Bring it back")
        before = self.said("notes", IMAGE)
        self.git("tag", "v2026.11.24.1")
        self.assertEqual(self.said("tag"), "v2026.11.24.1\n")
        self.assertEqual(self.said("notes", IMAGE), before)

    def test_a_day_begins_in_utc(self) -> None:
        self.commit("Late", at="2026-11-24T23:30:00-05:00")
        self.assertEqual(self.said("tag", TZ="America/New_York"), "v2026.11.25.1\n")

    def test_tags_that_name_no_release_do_not_count(self) -> None:
        self.commit("Rent a book")
        self.git("tag", "v2")
        self.git("tag", "best")
        self.assertEqual(self.said("tag"), "v2026.11.24.1\n")
        self.assertIn("The first release.", self.said("notes", IMAGE))

    def test_merges_are_left_out(self) -> None:
        self.commit("Rent a book")
        self.git("switch", "--quiet", "--create", "branch")
        self.commit("Bring it back")
        self.git("switch", "--quiet", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", "Merge the branch", "branch")
        notes = self.said("notes", IMAGE)
        self.assertIn("Bring it back", notes)
        self.assertNotIn("Merge the branch", notes)

    def test_nobody_is_called_and_nothing_is_markup(self) -> None:
        self.commit("Thank @alice for <b>the</b> [link](https://example.org) & `code`")
        notes = self.said("notes", IMAGE)
        line = next(line for line in notes.splitlines() if line.startswith("- "))
        self.assertNotIn("@", line)
        self.assertNotIn("<b>", line)
        self.assertNotIn("](", line.replace("\\]\\(", ""))

    def test_a_long_history_is_cut(self) -> None:
        subjects = "".join(
            f"commit refs/heads/main\nmark :{n}\ncommitter A <a@example.org> 1764000000 +0000\n"
            f"data 200\n{'x' * 199}\n"
            for n in range(1, 1001)
        )
        subprocess.run(
            ["git", "fast-import", "--quiet"], cwd=self.place, input=subjects, text=True, check=True
        )
        notes = self.said("notes", IMAGE)
        self.assertLess(len(notes.encode()), 125_000)
        self.assertRegex(notes, r"- and [0-9]+ more\n")
        self.assertIn(IMAGE, notes)

    def test_an_image_without_a_digest_is_refused(self) -> None:
        self.commit("Rent a book")
        self.assert_refused(self.run_command("notes", "lori-books:latest"), "is no image with its digest")
        self.assert_refused(self.run_command(), "call it as")

    def test_outside_of_a_repository_git_says_so(self) -> None:
        done = self.run_command("tag", GIT_DIR="/nowhere")
        self.assert_refused(done, "not a git repository")


class MakeReleaseTest(HistoryTest):
    command = "make-release"
    stand_ins = ("gh",)

    def release(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run_command(IMAGE, **{"GITHUB_REPOSITORY": "lori/books", **environment})

    def created(self) -> list[dict[str, Any]]:
        return [record for record in self.records() if record["call"][1:3] == ["release", "create"]]

    def test_it_makes_the_release_of_this_commit(self) -> None:
        self.commit("Rent a book")
        done = self.release()
        self.assert_good(done)
        self.assertEqual(done.stdout, "name=v2026.11.24.1\n")
        [record] = self.created()
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=self.place, capture_output=True, text=True, check=True
        )
        call = " ".join(record["call"])
        self.assertIn(f"v2026.11.24.1 --repo lori/books --target {head.stdout.strip()} ", call)
        self.assertIn("--prerelease", call)
        [notes] = record["files"].values()
        self.assertIn("Rent a book", notes)
        self.assertIn(IMAGE, notes)

    def test_one_that_is_there_is_not_made_again(self) -> None:
        self.commit("Rent a book")
        self.git("tag", "v2026.11.24.1")
        self.answer("gh api", words="v2026.11.24.10\nv2026.11.24.1\n")
        done = self.release()
        self.assert_good(done)
        self.assertEqual(done.stdout, "name=v2026.11.24.1\n")
        self.assertEqual(self.created(), [])

    def test_one_with_a_longer_name_is_another(self) -> None:
        self.commit("Rent a book")
        self.answer("gh api", words="v2026.11.24.10\n")
        self.assert_good(self.release())
        self.assertEqual(len(self.created()), 1)

    def test_a_github_that_does_not_answer_is_a_failure(self) -> None:
        self.commit("Rent a book")
        for call in ("gh api", "gh release create"):
            with self.subTest(call):
                self.reset()
                self.answer(call, status=1, words="HTTP 502")
                self.assert_refused(self.release(), "HTTP 502")

    def test_what_is_missing_is_named(self) -> None:
        self.assert_refused(self.release(GITHUB_REPOSITORY=""), "GITHUB_REPOSITORY is not set")
