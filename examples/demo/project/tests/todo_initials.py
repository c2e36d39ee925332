import unittest

from wordtools.initials import initials


class Initials(unittest.TestCase):
    def test_first_letters(self):
        self.assertEqual(initials("ada byron lovelace"), "ABL")
