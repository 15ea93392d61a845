"""How fast, beside what one would write without this package."""
