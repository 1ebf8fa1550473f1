"""Methods against one another: numbers, tables, pages."""
