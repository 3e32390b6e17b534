"""Tests of connecting over SSH."""
