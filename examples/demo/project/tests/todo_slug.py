import unittest

from wordtools.slug import slugify


class Slugify(unittest.TestCase):
    def test_joins_lower_case_words(self):
        self.assertEqual(slugify("Hello, Big World!"), "hello-big-world")

    def test_nothing_is_empty(self):
        self.assertEqual(slugify("  ...  "), "")
