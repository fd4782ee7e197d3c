"""Figures of the report, each a self-contained inline SVG that takes its colours from the page's style sheet."""
