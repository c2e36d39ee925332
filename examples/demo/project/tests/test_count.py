import unittest

from wordtools.count import words


class Words(unittest.TestCase):
    def test_words(self):
        self.assertEqual(words("one  two\nthree"), 3)
        self.assertEqual(words(""), 0)
