"""The comment that shows a plan fits, stays inside its fence, and says what it left out."""

from __future__ import annotations

import re
import subprocess

from commands import CommandTest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUN = "https://github.com/lori/books/actions/runs/1"
SMALL = "  # aws_s3_bucket.media will be created\n\nPlan: 1 to add, 0 to change, 0 to destroy.\n"


class PlanCommentTest(CommandTest):
    command = "plan-comment"

    def comment(self, **plans: str) -> subprocess.CompletedProcess[str]:
        for name, text in plans.items():
            (self.place / name).write_text(text)
        return self.run_command(COMMIT, RUN, *(f"{name}={name}" for name in plans))

    def test_it_shows_every_plan_with_its_count_of_changes(self) -> None:
        done = self.comment(staging=SMALL, prod="No changes. Your infrastructure matches the configuration.")
        self.assert_good(done)
        self.assertIn("<b>staging</b>: Plan: 1 to add, 0 to change, 0 to destroy.</summary>", done.stdout)
        self.assertIn("<b>prod</b>: No changes.", done.stdout)
        self.assertIn("aws_s3_bucket.media will be created", done.stdout)
        self.assertIn(COMMIT, done.stdout)
        self.assertNotIn("did not fit", done.stdout)

    def test_a_long_plan_is_cut_at_the_limit_at_the_end_of_a_line_and_says_so(self) -> None:
        line = '  + tag = "ä" # a line of a plan that goes on and on'
        done = self.comment(staging=f"{line}\n" * 5000 + SMALL)
        self.assert_good(done)
        self.assertLessEqual(len(done.stdout.encode()), 65_536)
        self.assertGreater(len(done.stdout.encode()), 60_000)
        shown = done.stdout.count(line)
        self.assertEqual(done.stdout.count("+ tag"), shown)
        self.assertIn(f"{5000 + 3 - shown} more lines did not fit; [the log]({RUN})", done.stdout)
        self.assertTrue("Plan: 1 to add" in done.stdout)

    def test_a_short_plan_leaves_its_room_to_the_long_one(self) -> None:
        done = self.comment(staging=SMALL, prod="x\n" * 100_000 + SMALL)
        self.assert_good(done)
        self.assertIn("aws_s3_bucket.media", done.stdout)
        self.assertGreater(len(done.stdout.encode()), 60_000)
        self.assertLessEqual(len(done.stdout.encode()), 65_536)

    def test_nothing_in_a_plan_gets_out_of_its_fence(self) -> None:
        done = self.comment(staging=f"```\n@everybody </details> <img src=x>\n````\n{SMALL}")
        self.assert_good(done)
        fences = [line for line in done.stdout.splitlines() if re.match("`{5}", line)]
        self.assertEqual(fences, ["`````text", "`````"])
        inside = done.stdout.split("`````text\n")[1].split("\n`````")[0]
        self.assertIn("@everybody", inside)
        self.assertNotIn("@everybody", done.stdout.replace(inside, ""))

    def test_a_plan_of_backticks_alone_still_fits(self) -> None:
        done = self.comment(staging="`" * 60_000 + f"\n{SMALL}")
        self.assert_good(done)
        self.assertLessEqual(len(done.stdout.encode()), 65_536)

    def test_the_count_in_the_summary_is_words_only(self) -> None:
        done = self.comment(staging="Plan: 1 to <img src=x onerror=y> `@all`\n")
        self.assert_good(done)
        self.assertNotIn("<img", done.stdout.split("</summary>")[0])
        self.assertNotIn("@", done.stdout.split("</summary>")[0])

    def test_colours_of_a_terminal_are_left_out(self) -> None:
        done = self.comment(staging=f"\x1b[32m  + create\x1b[0m\n{SMALL}")
        self.assert_good(done)
        self.assertIn("\n  + create\n", done.stdout)

    def test_what_is_no_plan_is_refused(self) -> None:
        self.assert_refused(self.comment(staging="Error: no credentials\n"), "is this the text of a plan?")

    def test_wrong_words_are_refused(self) -> None:
        (self.place / "plan").write_text(SMALL)
        self.assert_refused(self.run_command("main", RUN, "staging=plan"), "is no commit")
        self.assert_refused(self.run_command(COMMIT, "javascript:x", "staging=plan"), "is no address")
        self.assert_refused(self.run_command(COMMIT, RUN, "plan"), "is not NAME=FILE")
        self.assert_refused(self.run_command(COMMIT, RUN), "call it as")
