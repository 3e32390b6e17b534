"""Measures the speeds that the tool promises."""
