"""What makes each table of README, REPRODUCTION and docs, by its name."""

from tools.tables import galvan, pascanu, price, reach, records, rivals, text

TABLES = {
    **pascanu.TABLES,
    **galvan.TABLES,
    **rivals.TABLES,
    **price.TABLES,
    **reach.TABLES,
    **records.TABLES,
    **text.TABLES,
}
