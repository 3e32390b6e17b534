"""Recipes for the session variables, the templates in them, and the secrets they yield."""
