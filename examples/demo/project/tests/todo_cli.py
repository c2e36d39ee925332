import subprocess
import sys
import unittest


class CommandLine(unittest.TestCase):
    def run_it(self, *args):
        return subprocess.run([sys.executable, "-m", "wordtools", *args], capture_output=True, text=True).stdout

    def test_slug(self):
        self.assertEqual(self.run_it("slug", "Big World"), "big-world\n")

    def test_initials(self):
        self.assertEqual(self.run_it("initials", "big world"), "BW\n")
