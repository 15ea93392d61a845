"""One update, the Lightning module and data module around it, the success test, and measurements of gradients."""
