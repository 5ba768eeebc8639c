"""Tests. A package, so that tests/policies is not taken for the policies that it tests."""
