"""What runs left: read, pooled into success rates, printed and drawn. Import the module that you need."""
